// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* clang: Call tcp_ca_state(sk) or tcp_is_cwnd_limited(sk) */
#include "lab_cc.h"
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	if (inet_csk(sk)->icsk_ca_state == TCP_CA_Open)	/* mistake */
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

LAB_CC("wrong", ssthresh, cong_avoid, undo_cwnd);
