// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: It does not understand `i % 100` */
#include "lab_cc.h"
u32 history[100];

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	history[tcp_sk(sk)->snd_cwnd % 100] = ack;	/* mistake */
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
