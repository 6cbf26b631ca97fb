// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Reference solution: a loss is taken for congestion only if segments were waiting in the queue when it happened.
 *
 * On a wireless link, segments are lost at random, whether the link is busy or not.  Reno and CUBIC reduce their window
 * each time, and never fill the link.  The round trip time tells the two kinds of losses apart, as in TCP Veno (Fu and
 * Liew, 2003): before a queue overflows, it is long, and the round trip time with it.  A loss at a round trip time close
 * to the smallest one is none of congestion, and the window stays.
 *
 * On a link without random losses, all losses are congestion.  There, this is an AIMD flow whose window falls to 70 % of
 * what it was, as CUBIC's does, so the two share the link.
 */
#include "lab_cc.h"

#define CONGESTED 125		/* percent of the smallest round trip time from which on a loss is congestion */
#define UNKNOWN 0x7fffffff	/* larger than any round trip time in µs */

struct state {
	u32 base_rtt_us;	/* the smallest round trip time so far */
	u32 rtt_us;		/* the smallest of the last round trip, which has no outliers from delayed ACKs */
	u32 round_rtt_us;	/* the smallest of the present round trip */
	u32 round_end;		/* the present round trip ends when this sequence number is acknowledged */
	u32 acked;		/* segments acknowledged since the window last grew */
	u32 random;		/* losses so far that were not congestion */
};

static void init(struct sock *sk)
{
	struct state *own = lab_private(sk, struct state);

	own->base_rtt_us = own->rtt_us = own->round_rtt_us = UNKNOWN;
	own->round_end = tcp_sk(sk)->snd_nxt;
}

static void pkts_acked(struct sock *sk, const struct ack_sample *sample)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct state *own = lab_private(sk, struct state);

	if (sample->rtt_us > 0) {
		own->base_rtt_us = min(own->base_rtt_us, (u32)sample->rtt_us);
		own->round_rtt_us = min(own->round_rtt_us, (u32)sample->rtt_us);
	}
	/* This function is called in recovery, too, so the round trips go on there. */
	if (after(tp->snd_una, own->round_end) && own->round_rtt_us != UNKNOWN) {
		own->rtt_us = own->round_rtt_us;
		own->round_rtt_us = UNKNOWN;
		own->round_end = tp->snd_nxt;
	}
}

static bool is_congested(const struct state *own)
{
	return own->rtt_us == UNKNOWN || (u64)own->rtt_us * 100 > (u64)own->base_rtt_us * CONGESTED;
}

static u32 ssthresh(struct sock *sk)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct state *own = lab_private(sk, struct state);

	if (is_congested(own)) {
		own->acked = 0;
		return max(tp->snd_cwnd * 7 / 10, 2);
	}
	own->random++;
	lab_trace(sk, "random_losses", own->random);
	/* In slow start, go on with it; otherwise keep the window. */
	return tcp_in_slow_start(tp) ? tp->snd_ssthresh : max(tp->snd_cwnd, 2);
}

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct state *own = lab_private(sk, struct state);
	u32 cwnd = tp->snd_cwnd;

	if (!tcp_is_cwnd_limited(sk))
		return;
	if (tcp_in_slow_start(tp)) {
		/* Slow start ends when the queue begins to grow, not only when it overflows. */
		if (is_congested(own) && own->rtt_us != UNKNOWN && cwnd > TCP_INIT_CWND)
			tp->snd_ssthresh = cwnd;
		else
			tcp_slow_start(tp, acked);
		return;
	}
	own->acked += acked;
	if (own->acked >= cwnd) {
		own->acked -= cwnd;
		lab_set_cwnd(sk, cwnd + 1);
	}
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

LAB_CC("my_lossy", init, pkts_acked, ssthresh, cong_avoid, undo_cwnd);
