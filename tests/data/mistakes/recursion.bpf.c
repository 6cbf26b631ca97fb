// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: A function calls itself */
#include "lab_cc.h"
static __noinline u32 factorial(u32 n)
{
	return n < 2 ? 1 : n * factorial(n - 1) + (bpf_get_prandom_u32() & 1);	/* mistake */
}

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	lab_set_cwnd(sk, factorial(acked));
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
