// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* clang: LAB_CC: undo_cwnd is missing */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	tcp_reno_cong_avoid(sk, ack, acked);
}

static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

LAB_CC("wrong", ssthresh, cong_avoid);	/* mistake */
