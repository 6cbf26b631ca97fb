// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Delay-based congestion control after TCP Vegas (Brakmo, O'Malley and Peterson, SIGCOMM 1994).
 *
 * Loss-based algorithms learn that the queue is full when it overflows.  This one looks at the round trip time instead.
 * The smallest one that was ever seen is that of the empty path.  What is above it is time spent in the queue, and from
 * it follows how many of the connection's own segments wait there.  The window is moved such that these are few, but not
 * none.
 *
 * Two things to try: a competing CUBIC flow, which fills the queue and takes this one's share; and a flow that starts
 * while the queue is already long, and therefore takes too large a round trip time for that of the empty path.
 */
#include "lab_cc.h"

#define ALPHA 2			/* segments in the queue below which the window grows */
#define BETA 4			/* segments in the queue above which it shrinks */
#define GAMMA 1			/* segments in the queue above which slow start ends */
#define UNKNOWN 0x7fffffff	/* larger than any round trip time in µs */

/* The variables of one connection. */
struct state {
	u32 base_rtt_us;	/* the smallest round trip time so far */
	u32 min_rtt_us;		/* the smallest of the current round trip */
	u32 round_end;		/* the round trip ends when this sequence number is acknowledged */
};

static void init(struct sock *sk)
{
	struct state *own = lab_private(sk, struct state);

	own->base_rtt_us = UNKNOWN;
	own->min_rtt_us = UNKNOWN;
	/* Sequence numbers begin anywhere, not at 0. */
	own->round_end = tcp_sk(sk)->snd_nxt;
}

/* The kernel calls this for each ACK before cong_avoid(); only here it tells the round trip time of the ACK. */
static void pkts_acked(struct sock *sk, const struct ack_sample *sample)
{
	struct state *own = lab_private(sk, struct state);

	/* Negative if the ACK is for a retransmission, of which nobody knows which copy it answers. */
	if (sample->rtt_us <= 0)
		return;
	own->base_rtt_us = min(own->base_rtt_us, (u32)sample->rtt_us);
	/* The smallest, because single segments are late for other reasons than the queue, such as delayed ACKs. */
	own->min_rtt_us = min(own->min_rtt_us, (u32)sample->rtt_us);
}

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct state *own = lab_private(sk, struct state);
	u32 cwnd = tp->snd_cwnd;
	u32 queued;

	if (!tcp_is_cwnd_limited(sk))
		return;

	/* The window is reconsidered once for each round trip.  Within it, only slow start goes on. */
	if (!after(ack, own->round_end)) {
		if (tcp_in_slow_start(tp))
			tcp_slow_start(tp, acked);
		return;
	}
	own->round_end = tp->snd_nxt;
	if (own->min_rtt_us == UNKNOWN)
		return;

	/*
	 * With cwnd segments in flight, cwnd / min_rtt segments arrive per µs.  In the time base_rtt, these are the
	 * segments on the path; the others are in the queue.  The product does not fit into 32 bits, hence the cast.
	 * min_rtt is never smaller than base_rtt, so the difference cannot fall below 0.
	 */
	queued = cwnd - (u64)cwnd * own->base_rtt_us / own->min_rtt_us;

	if (tcp_in_slow_start(tp)) {
		if (queued > GAMMA) {
			/* The path is full: end slow start, and let the queue drain. */
			lab_set_cwnd(sk, cwnd - queued);
			tp->snd_ssthresh = max(tp->snd_cwnd - 1, 2);
		} else {
			tcp_slow_start(tp, acked);
		}
	} else if (queued > BETA) {
		lab_set_cwnd(sk, cwnd - 1);
		/* A window below the threshold would be slow start, and the next ACK would undo the reduction. */
		tp->snd_ssthresh = min(tp->snd_ssthresh, tp->snd_cwnd);
	} else if (queued < ALPHA) {
		lab_set_cwnd(sk, cwnd + 1);
	}

	lab_trace(sk, "queued", queued);
	lab_trace(sk, "base_rtt_us", own->base_rtt_us);
	own->min_rtt_us = UNKNOWN;
}

/* After a loss this algorithm does what Reno does. */
static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

/* The name by which experiments call the algorithm, and its functions. */
LAB_CC("my_low_delay", init, pkts_acked, cong_avoid, ssthresh, undo_cwnd);
