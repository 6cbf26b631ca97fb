// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: may not call the BPF helper bpf_send_signal */
#include "lab_cc.h"
static long (*const bpf_send_signal)(u32 signal) = (void *)109;

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	bpf_send_signal(9);	/* mistake */
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
