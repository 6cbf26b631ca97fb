// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* clang: the kernel never calls cong_avoid if there is a cong_control */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	tcp_reno_cong_avoid(sk, ack, acked);
}

static void cong_control(struct sock *sk, const struct rate_sample *rs)
{
}

static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

LAB_CC("wrong", ssthresh, cong_avoid, cong_control, undo_cwnd);	/* mistake */
