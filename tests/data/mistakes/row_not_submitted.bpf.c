// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: has to be given back on every way to the end of the function */
#include "lab_cc.h"
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	u64 *row = bpf_ringbuf_reserve(&ring, 8, 0);	/* mistake */

	if (row)
		*row = acked;
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
