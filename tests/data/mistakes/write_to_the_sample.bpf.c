// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: The field rtt_us belongs to the kernel and can only be read */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	tcp_reno_cong_avoid(sk, ack, acked);
}

static void pkts_acked(struct sock *sk, const struct ack_sample *sample)
{
	((struct ack_sample *)sample)->rtt_us = 0;	/* mistake */
}

static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

LAB_CC("wrong", ssthresh, cong_avoid, pkts_acked, undo_cwnd);
