// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * CUBIC, from RFC 9438 (the numbers of its sections are in the comments), without HyStart++.
 *
 * After a reduction, the window follows a cubic curve: it approaches the size at which the last loss happened (W_max)
 * fast at first, then ever more slowly, stays near it for a while, and then looks for more, slowly at first.  The curve
 * is a function of time, not of round trips, so flows with a long round trip time do not grow more slowly than others.
 *
 *	W_cubic(t) = C * (t - K)^3 + W_max	with C = 0.4 segments/s³ and K = cbrt((W_max - cwnd_epoch) / C)
 *
 * There are no floating-point numbers in the kernel.  Times are in ms and windows in segments here, and fractions are
 * written as quotients, with the multiplication first.
 */
#include "lab_cc.h"

/* The variables of one connection.  An epoch is the time between two reductions of the window. */
struct state {
	u64 epoch_us;		/* when the epoch began; 0: it begins with the next ACK */
	u64 last_us;		/* when the last ACK arrived */
	u32 w_max;		/* the window before the last reduction, in segments; 0: none yet */
	u32 origin;		/* the plateau of the curve in this epoch, in segments */
	u32 k_ms;		/* when the curve reaches its plateau, in ms after the beginning of the epoch */
	u32 w_est;		/* the window that Reno would have, in segments */
	u32 w_est_acked;	/* segments acknowledged since w_est last grew */
	u32 cwnd_prior;		/* the window before the last reduction, in segments, whatever w_max was set to */
};

/* Multiplicative decrease (4.6) and fast convergence (4.7). */
static u32 ssthresh(struct sock *sk)
{
	struct state *own = lab_private(sk, struct state);
	u32 cwnd = tcp_sk(sk)->snd_cwnd;

	/*
	 * A window that did not reach the last W_max means that another flow has taken some of the bandwidth.  Aim lower
	 * to release more for it: W_max = cwnd * (1 + β) / 2, with β = 0.7.
	 */
	own->w_max = cwnd < own->w_max ? cwnd * 17 / 20 : cwnd;
	own->cwnd_prior = cwnd;
	own->epoch_us = 0;
	return max(cwnd * 7 / 10, 2);
}

/* A new epoch begins: work out the curve (4.2). */
static void begin_epoch(struct sock *sk, struct state *own, u64 now_us)
{
	u32 cwnd = tcp_sk(sk)->snd_cwnd;

	own->epoch_us = now_us;
	own->w_est = cwnd;
	own->w_est_acked = 0;
	if (own->w_max > cwnd) {
		own->origin = own->w_max;
		/* K = cbrt((W_max - cwnd) / 0.4) seconds.  In ms, there is a factor of 1000³ under the cube root. */
		own->k_ms = lab_cube_root((own->w_max - cwnd) * 2500000000ULL);
	} else {
		own->origin = cwnd;
		own->k_ms = 0;
	}
	lab_trace(sk, "w_max", own->origin);
	lab_trace(sk, "k_ms", own->k_ms);
}

/* The window that the curve asks for, at a time after the beginning of the epoch: W_cubic(t), in segments. */
static u32 w_cubic(const struct state *own, u64 t_ms)
{
	/* Unsigned numbers cannot be negative, so the two sides of the plateau are worked out apart from each other. */
	u64 distance_ms = t_ms > own->k_ms ? t_ms - own->k_ms : own->k_ms - t_ms;
	u64 change;

	/* At most 100 s: the third power fits into 64 bits, and no window grows for so long. */
	distance_ms = min(distance_ms, 100000);
	/* C * distance³, where ms³ are 10^-9 s³ and C = 4/10. */
	change = distance_ms * distance_ms * distance_ms / 1000000 * 4 / 10000;
	if (t_ms > own->k_ms)
		return own->origin + change;
	return own->origin - min(change, own->origin);
}

/* The window that Reno would have by now, with the same average as an AIMD flow of β = 0.5 (4.3). */
static u32 w_est(struct state *own, u32 cwnd, u32 acked)
{
	/*
	 * Each acknowledged window adds α = 3 * (1 - β) / (1 + β) = 9/17 segments, that is one segment for 17/9 windows;
	 * above the window before the last reduction, it adds 1.
	 */
	u32 needed = own->w_est < own->cwnd_prior ? cwnd * 17 / 9 : cwnd;

	own->w_est_acked += acked;
	if (own->w_est_acked >= needed) {
		own->w_est_acked -= needed;
		own->w_est++;
	}
	return own->w_est;
}

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct state *own = lab_private(sk, struct state);
	u64 now_us = lab_now_us();
	u64 since_last_us = now_us - own->last_us;
	u32 cwnd = tp->snd_cwnd;
	u32 target;

	own->last_us = now_us;
	/* While the application sends too little, the window does not grow, and the time of the curve stands still. */
	if (!tcp_is_cwnd_limited(sk)) {
		if (own->epoch_us)
			own->epoch_us += since_last_us;
		return;
	}
	if (tcp_in_slow_start(tp)) {
		tcp_slow_start(tp, acked);
		return;
	}
	if (!own->epoch_us)
		begin_epoch(sk, own, now_us);

	/* Where the curve will be in a round trip, when today's segments are acknowledged; at most 1.5 windows (4.2). */
	target = w_cubic(own, (now_us - own->epoch_us) / 1000 + lab_srtt_us(sk) / 1000);
	/* Where Reno would be faster, on paths with a small bandwidth-delay product, do as Reno does (4.3). */
	target = max(target, w_est(own, cwnd, acked));
	target = min(target, cwnd + cwnd / 2);
	lab_trace(sk, "target", target);

	/*
	 * The way to the target takes a round trip, in which cwnd segments are acknowledged: one segment more for each
	 * cwnd / (target - cwnd) of them (4.4).  On the plateau the window grows by 1 in 100 windows.
	 */
	tcp_cong_avoid_ai(tp, target > cwnd ? cwnd / (target - cwnd) : 100 * cwnd, acked);
}

/* A retransmission timeout: forget the curve, and begin a new one where slow start ends (4.8). */
static void set_state(struct sock *sk, u8 new_state)
{
	struct state *own = lab_private(sk, struct state);

	if (new_state == TCP_CA_Loss) {
		own->w_max = 0;
		own->epoch_us = 0;
	}
}

/* A loss turns out to have been none (4.9). */
static u32 undo_cwnd(struct sock *sk)
{
	return max(tcp_sk(sk)->snd_cwnd, tcp_sk(sk)->prior_cwnd);
}

/* The name by which experiments call the algorithm, and its functions. */
LAB_CC("my_cubic", ssthresh, cong_avoid, set_state, undo_cwnd);
