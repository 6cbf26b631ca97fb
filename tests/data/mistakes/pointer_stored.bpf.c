// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* verifier: to the verifier it is only a number */
#include "lab_cc.h"
struct state {
	struct tcp_sock *tp;
};

static void init(struct sock *sk)
{
	struct state *own = lab_private(sk, struct state);

	own->tp = tcp_sk(sk);
}

static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct state *own = lab_private(sk, struct state);

	own->tp->snd_cwnd++;	/* mistake */
}

static u32 ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static u32 undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

LAB_CC("wrong", init, ssthresh, cong_avoid, undo_cwnd);
