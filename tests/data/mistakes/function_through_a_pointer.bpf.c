// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: A function is called through a pointer */
#include "lab_cc.h"
static __noinline u32 slow(u32 n)
{
	return n + 1;
}

static __noinline u32 fast(u32 n)
{
	return n + 2;
}

static u32 (*const policies[])(u32) = { slow, fast };

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	lab_set_cwnd(sk, policies[acked & 1](acked));
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
