// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Reference solution: as much in flight as the path delivers in the smallest round trip time and a few milliseconds.
 *
 * The delivery rate is measured for each ACK.  With a queue, however short, it is the rate of the bottleneck.  A window
 * of
 *
 *	rate * (smallest round trip time + TARGET)
 *
 * then leaves TARGET of waiting time in the queue.  If the link becomes faster, the queue runs empty, and the delivery
 * rate follows the window: it grows by TARGET / RTT in each round trip until a queue builds up again.  If the link
 * becomes slower, the delivery rate falls at once, and the window with it.  So no probing in phases is needed.
 */
#include "lab_cc.h"

#define TARGET_US 5000		/* waiting time in the queue to aim for, in µs */
#define FULL_US 4000		/* waiting time at which slow start ends, in µs */
#define RATE_ROUNDS 2		/* for how many round trips a measured rate counts */
#define LEAST_WINDOW 4		/* segments */

struct state {
	struct minmax rate;	/* the largest delivery rate of the last round trips, in bytes per second */
	u32 min_rtt_us;		/* the smallest round trip time; 0: none yet */
	u32 rounds;
	u32 round_end;		/* the round trip ends when a segment is acknowledged that was sent after this */
	bool is_started;	/* slow start is over */
};

static void init(struct sock *sk)
{
	struct state *own = lab_private(sk, struct state);
	u32 rtt_us = max(lab_srtt_us(sk), 1000);

	own->round_end = tcp_sk(sk)->delivered;
	lab_set_pacing_rate(sk, 2ULL * TCP_INIT_CWND * tcp_sk(sk)->mss_cache * 1000000 / rtt_us);
}

static void cong_control(struct sock *sk, const struct rate_sample *rs)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct state *own = lab_private(sk, struct state);
	u64 rate = lab_delivery_rate(sk, rs);
	u64 queued_us, window;

	if (!before(rs->prior_delivered, own->round_end)) {
		own->round_end = tp->delivered;
		own->rounds++;
	}
	if (rs->rtt_us > 0 && (!own->min_rtt_us || rs->rtt_us < own->min_rtt_us))
		own->min_rtt_us = rs->rtt_us;
	if (!rate || !own->min_rtt_us)
		return;
	if (!rs->is_app_limited || rate > minmax_get(&own->rate))
		minmax_running_max(&own->rate, RATE_ROUNDS, own->rounds, min(rate, 0xffffffff));
	rate = minmax_get(&own->rate);

	queued_us = rs->rtt_us > own->min_rtt_us ? rs->rtt_us - own->min_rtt_us : 0;
	if (queued_us > FULL_US || rs->losses > 0)
		own->is_started = true;

	if (!own->is_started) {
		window = tp->snd_cwnd + rs->acked_sacked;
		rate = 2 * rate;
	} else {
		window = rate * (own->min_rtt_us + TARGET_US) / 1000000 / tp->mss_cache;
	}
	lab_set_cwnd(sk, max(window, LEAST_WINDOW));
	/* Faster than the measured rate, so that the window is what limits, but without bursts. */
	lab_set_pacing_rate(sk, rate * 5 / 4);

	lab_trace(sk, "rate_bps", rate * 8);
	lab_trace(sk, "queued_us", queued_us);
}

/* Losses change nothing: the rate falls if the path has become slower. */
static u32 ssthresh(struct sock *sk)
{
	return TCP_INFINITE_SSTHRESH;
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_sk(sk)->snd_cwnd;
}

LAB_CC("my_low_delay", init, cong_control, ssthresh, undo_cwnd);
