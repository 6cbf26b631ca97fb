// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: more than 512 bytes, together with those of called functions */
#include "lab_cc.h"
static __noinline u64 second(u64 first)
{
	u64 late[40];

	for (int i = 0; i < 40; i++)
		late[i] = lab_now_ns() + first;
	return late[first & 31];
}

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	u64 early[40];

	for (int i = 0; i < 40; i++)
		early[i] = lab_now_ns();
	lab_set_cwnd(sk, second(early[acked & 31]) + early[ack & 31]);
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
