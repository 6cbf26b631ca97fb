// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* libbpf: The function next_window is declared, but nowhere defined */
#include "lab_cc.h"
u32 next_window(u32 acked);	/* mistake */

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	lab_set_cwnd(sk, next_window(acked));
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
