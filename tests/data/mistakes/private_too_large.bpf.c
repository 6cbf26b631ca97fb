// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* clang: lab_private: struct state is larger than 104 bytes */
#include "lab_cc.h"
struct state {
	u64 history[14];
};

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct state *own = lab_private(sk, struct state);	/* mistake */

	own->history[0] = acked;
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
