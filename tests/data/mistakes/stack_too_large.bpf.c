// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* clang: more than 512 bytes */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	u64 history[100];

	for (int i = 0; i < 100; i++)
		history[i] = lab_now_ns() + i;
	tcp_sk(sk)->snd_cwnd = history[acked & 63];
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
