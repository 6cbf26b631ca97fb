// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: can only be indexed by constants */
#include "lab_cc.h"
struct state {
	u32 history[8];
};

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct state *own = lab_private(sk, struct state);

	own->history[acked & 7] = ack;	/* mistake */
}

static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

LAB_CC("wrong", ssthresh, cong_avoid, undo_cwnd);
