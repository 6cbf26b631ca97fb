// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Reno: additive increase, multiplicative decrease (AIMD), written out from RFC 5681.
 *
 * The window grows by one segment per round trip as long as nothing is lost, and falls to half when something is.
 * Plotted over time, this gives the well-known sawtooth.
 */
#include "lab_cc.h"

/* The variables of one connection.  They are 0 when the connection begins. */
struct state {
	u32 acked;	/* segments acknowledged since the window last grew */
};

/*
 * The kernel asks this after a loss, before it reduces the window.  The answer is where slow start will end from now
 * on, and the window is reduced to the same value: half of what it was (RFC 5681, equation 4), but at least 2.
 */
static u32 ssthresh(struct sock *sk)
{
	struct state *own = lab_private(sk, struct state);

	own->acked = 0;
	return max(tcp_sk(sk)->snd_cwnd / 2, 2);
}

/* The kernel calls this for each ACK that acknowledges new data: `acked` segments of it. */
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct state *own = lab_private(sk, struct state);
	u32 cwnd = tp->snd_cwnd;

	/* A window that is not used up says nothing about the path, so it does not grow. */
	if (!tcp_is_cwnd_limited(sk))
		return;

	/*
	 * Slow start: one segment more for each segment that is acknowledged, which doubles the window in a round trip,
	 * until the threshold is reached.  Acknowledged segments that are left over count for what follows.
	 */
	if (tcp_in_slow_start(tp)) {
		u32 grown = min(cwnd + acked, tp->snd_ssthresh);

		acked -= grown - cwnd;
		cwnd = grown;
	}

	/*
	 * Congestion avoidance: one segment more for each window of acknowledged segments, which is once per round trip.
	 * What is above a whole window is kept for the next one.
	 */
	own->acked += acked;
	if (own->acked >= cwnd) {
		own->acked -= cwnd;
		cwnd++;
	}
	lab_set_cwnd(sk, cwnd);

	/* Shows up in the report as a curve. */
	lab_trace(sk, "acked", own->acked);
}

/*
 * The kernel asks this if segments that it took for lost have arrived after all: the window goes back to what it was
 * before it was reduced.
 */
static u32 undo_cwnd(struct sock *sk)
{
	return max(tcp_sk(sk)->snd_cwnd, tcp_sk(sk)->prior_cwnd);
}

/* The name by which experiments call the algorithm, and its functions. */
LAB_CC("my_fair", ssthresh, cong_avoid, undo_cwnd);
