// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* libbpf: offers no function tcp_faster to algorithms */
#include "lab_cc.h"
extern void tcp_faster(struct sock *sk) __ksym;	/* mistake */

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	tcp_faster(sk);
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
