// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* libbpf: struct tcp_sock has no field snd_cwnd_target */
#include "lab_cc.h"
struct tcp_sock___mine {
	u32 snd_cwnd_target;
} __attribute__((preserve_access_index));

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock___mine *mine = (struct tcp_sock___mine *)sk;

	tcp_sk(sk)->snd_cwnd = mine->snd_cwnd_target;	/* mistake */
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
