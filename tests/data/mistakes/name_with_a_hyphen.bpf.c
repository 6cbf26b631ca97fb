// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* register: The kernel does not accept the name */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	tcp_reno_cong_avoid(sk, ack, acked);
}

static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

LAB_CC("my-reno", ssthresh, cong_avoid, undo_cwnd);	/* mistake */
