// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* clang: LAB_CC names cong_avoid, but the file does not define this function */
#include "lab_cc.h"
static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

LAB_CC("wrong", ssthresh, cong_avoid, undo_cwnd);	/* mistake */
