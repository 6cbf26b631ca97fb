// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: The result of a look-up may be NULL */
#include "lab_cc.h"
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, u32);
	__type(value, u32);
} seen SEC(".maps");

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	u32 key = ack;
	u32 *count = bpf_map_lookup_elem(&seen, &key);

	*count += acked;	/* mistake */
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
