// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: The loop at line 8 has no bound that the verifier can see, or too high a one */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	u32 sum = 0;

	for (int i = 0; i < 1000000; i++)	/* mistake */
		sum += bpf_get_prandom_u32();
	lab_set_cwnd(sk, sum);
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
