// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: This writes more bytes than the field has */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	*(u64 *)&tcp_sk(sk)->snd_cwnd = 10;	/* mistake */
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
