// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* clang: variable 'target' is used uninitialized */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	u32 target;

	if (acked > 1)	/* mistake */
		target = tcp_sk(sk)->snd_cwnd + 1;
	lab_set_cwnd(sk, target);
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
