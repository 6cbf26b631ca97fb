// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: to the verifier it is only a number */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	u32 *where = NULL;

	if (acked > 1)
		where = (u32 *)(u64)ack;
	*where = 1;	/* mistake */
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
