// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* clang: A struct rate_sample belongs to the kernel and can only be read */
#include "lab_cc.h"
static void cong_control(struct sock *sk, const struct rate_sample *rs)
{
	rs->delivered = 0;	/* mistake */
}

static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

LAB_CC("wrong", ssthresh, cong_control, undo_cwnd);
