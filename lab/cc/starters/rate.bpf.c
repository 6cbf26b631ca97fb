// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Rate-based congestion control after BBR version 1 (Cardwell et al., ACM Queue 14(5), 2016), in its main features.
 *
 * A path has two limits: the bandwidth of its bottleneck, and the round trip time without a queue.  Both are measured:
 * the bandwidth as the largest delivery rate of the last ten round trips, the round trip time as the smallest of the
 * last ten seconds.  Segments are sent one by one at the measured bandwidth ("pacing"), and the window is only a safety
 * limit of twice the bandwidth-delay product.  Losses change nothing.
 *
 * Neither can be measured all the time: the bandwidth shows only if more is sent than the bottleneck takes, the empty
 * path only if less is.  So the algorithm sends a little faster for one round trip of eight, then slower by the same
 * amount; and every ten seconds almost nothing for 200 ms, if the smallest round trip time has not been seen again.
 */
#include "lab_cc.h"

#define STARTUP_GAIN 289	/* percent: 2/ln 2, the smallest one that doubles the rate in each round trip */
#define DRAIN_GAIN 35		/* percent: 1/2.89, which empties the queue as fast as startup has filled it */
#define WINDOW_GAIN 200		/* percent of the bandwidth-delay product */
#define PHASES 8		/* of a cycle; each takes a round trip */
#define BANDWIDTH_ROUNDS 10	/* for how many round trips a measured bandwidth is remembered */
#define MIN_RTT_US 10000000	/* for how many µs a measured round trip time is remembered */
#define PROBE_RTT_US 200000	/* how long almost nothing is sent to measure it again, in µs */
#define LEAST_WINDOW 4		/* segments */

enum mode {
	STARTUP,		/* double the rate in each round trip until the bandwidth no longer grows */
	DRAIN,			/* empty the queue that this has filled */
	PROBE_BANDWIDTH,	/* most of the time: cycles of 125 %, 75 %, and six times 100 % */
	PROBE_RTT,		/* almost nothing, so that the path becomes empty */
};

/* The variables of one connection. */
struct state {
	struct minmax bandwidth;	/* the largest delivery rate of the last round trips, in bytes per second */
	u64 min_rtt_at_us;		/* when the smallest round trip time was measured */
	u64 phase_began_us;		/* when the phase of the cycle, or of almost nothing, has begun */
	u32 min_rtt_us;			/* the smallest round trip time; 0: none yet */
	u32 rounds;			/* round trips since the connection began */
	u32 round_end;			/* the round trip ends when a segment is acknowledged that was sent after this */
	u32 best_startup;		/* the largest bandwidth in startup, in bytes per second */
	u32 rounds_without_growth;	/* round trips in startup in which it did not grow by a quarter */
	u32 phase;			/* of the cycle: 0 to 7 */
	enum mode mode;
};

static void init(struct sock *sk)
{
	struct state *own = lab_private(sk, struct state);
	u32 rtt_us = max(lab_srtt_us(sk), 1000);

	own->round_end = tcp_sk(sk)->delivered;
	/* Before anything is measured: the initial window in a round trip of the handshake, times the gain. */
	lab_set_pacing_rate(sk, (u64)TCP_INIT_CWND * tcp_sk(sk)->mss_cache * 1000000 / rtt_us * STARTUP_GAIN / 100);
}

/* Measure the bandwidth of the path.  Returns whether a round trip is over. */
static bool measure_bandwidth(struct sock *sk, struct state *own, const struct rate_sample *rs)
{
	u64 rate = lab_delivery_rate(sk, rs);
	bool is_new_round = false;

	/* A round trip is over when a segment is acknowledged that was sent after the last one was over. */
	if (!before(rs->prior_delivered, own->round_end)) {
		own->round_end = tcp_sk(sk)->delivered;
		own->rounds++;
		is_new_round = true;
	}
	/* If the application had too little to send, a low rate says nothing about the path. */
	if (rate > 0 && (!rs->is_app_limited || rate >= minmax_get(&own->bandwidth)))
		minmax_running_max(&own->bandwidth, BANDWIDTH_ROUNDS, own->rounds, min(rate, 0xffffffff));
	return is_new_round;
}

/* Measure the round trip time of the empty path.  Returns whether the last measurement is too old. */
static bool measure_rtt(struct state *own, const struct rate_sample *rs, u64 now_us)
{
	bool is_old = own->min_rtt_us && now_us - own->min_rtt_at_us > MIN_RTT_US;

	if (rs->rtt_us > 0 && (!own->min_rtt_us || rs->rtt_us <= own->min_rtt_us || (is_old && !rs->is_ack_delayed))) {
		own->min_rtt_us = rs->rtt_us;
		own->min_rtt_at_us = now_us;
	}
	return is_old;
}

/* Segments that fill the path without a queue, times a gain in percent: the bandwidth-delay product. */
static u32 bdp(struct sock *sk, const struct state *own, u32 gain)
{
	u64 bytes = (u64)minmax_get(&own->bandwidth) * own->min_rtt_us / 1000000;

	return bytes * gain / 100 / tcp_sk(sk)->mss_cache;
}

/* In startup: is the path full, because the bandwidth has not grown by a quarter in three round trips? */
static bool is_full(struct state *own)
{
	u32 bandwidth = minmax_get(&own->bandwidth);

	if (bandwidth >= own->best_startup + own->best_startup / 4) {
		own->best_startup = bandwidth;
		own->rounds_without_growth = 0;
		return false;
	}
	own->rounds_without_growth++;
	return own->rounds_without_growth >= 3;
}

static void enter_probe_bandwidth(struct state *own, u64 now_us)
{
	own->mode = PROBE_BANDWIDTH;
	own->phase = 2;			/* not with more than the path takes */
	own->phase_began_us = now_us;
}

static void change_mode(struct sock *sk, struct state *own, const struct rate_sample *rs, bool is_new_round,
			bool is_rtt_old, u64 now_us)
{
	u32 in_flight = tcp_packets_in_flight(tcp_sk(sk));

	if (own->mode == STARTUP && is_new_round && !rs->is_app_limited && is_full(own))
		own->mode = DRAIN;
	if (own->mode == DRAIN && in_flight <= bdp(sk, own, 100))
		enter_probe_bandwidth(own, now_us);
	if (own->mode == PROBE_BANDWIDTH && now_us - own->phase_began_us > own->min_rtt_us) {
		own->phase = (own->phase + 1) % PHASES;
		own->phase_began_us = now_us;
	}
	if (is_rtt_old && own->mode == PROBE_BANDWIDTH) {
		own->mode = PROBE_RTT;
		own->phase_began_us = 0;
	}
	if (own->mode == PROBE_RTT) {
		/* The 200 ms begin when what was in flight has arrived. */
		if (!own->phase_began_us && in_flight <= LEAST_WINDOW)
			own->phase_began_us = now_us;
		if (own->phase_began_us && now_us - own->phase_began_us > PROBE_RTT_US) {
			own->min_rtt_at_us = now_us;
			enter_probe_bandwidth(own, now_us);
		}
	}
}

/* How fast to send, in percent of the bandwidth. */
static u32 pacing_gain(const struct state *own)
{
	switch (own->mode) {
	case STARTUP:
		return STARTUP_GAIN;
	case DRAIN:
		return DRAIN_GAIN;
	case PROBE_BANDWIDTH:
		return own->phase == 0 ? 125 : own->phase == 1 ? 75 : 100;
	default:
		return 100;
	}
}

/* The kernel calls this for each ACK, with what it has measured. */
static void cong_control(struct sock *sk, const struct rate_sample *rs)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct state *own = lab_private(sk, struct state);
	u64 now_us = lab_now_us();
	bool is_new_round = measure_bandwidth(sk, own, rs);
	bool is_rtt_old = measure_rtt(own, rs, now_us);
	u64 bandwidth = minmax_get(&own->bandwidth);
	u64 rate;
	u32 target;

	change_mode(sk, own, rs, is_new_round, is_rtt_old, now_us);

	/* Pacing.  In startup the rate never falls: the first measurements are still too low. */
	rate = bandwidth * pacing_gain(own) / 100;
	if (bandwidth && (own->mode != STARTUP || rate > sk->sk_pacing_rate))
		lab_set_pacing_rate(sk, rate);

	/* The window.  In startup it grows as in slow start; later it goes to its target, but not by jumps upwards. */
	target = max(bdp(sk, own, WINDOW_GAIN), LEAST_WINDOW);
	if (own->mode == STARTUP)
		target = tp->snd_cwnd + rs->acked_sacked;
	else if (own->mode == PROBE_RTT)
		target = LEAST_WINDOW;
	else
		target = min(target, tp->snd_cwnd + rs->acked_sacked);
	lab_set_cwnd(sk, target);

	lab_trace(sk, "bandwidth_bps", bandwidth * 8);
	lab_trace(sk, "min_rtt_us", own->min_rtt_us);
	lab_trace(sk, "pacing_gain", pacing_gain(own));
}

/* Losses do not change the window, neither the threshold of slow start, which this algorithm does not use. */
static u32 ssthresh(struct sock *sk)
{
	return TCP_INFINITE_SSTHRESH;
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_sk(sk)->snd_cwnd;
}

/* The name by which experiments call the algorithm, and its functions. */
LAB_CC("my_rate", init, cong_control, ssthresh, undo_cwnd);
