// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Additive increase, multiplicative decrease: your task is to make the sawtooth.
 *
 * As it is, the window never changes: 10 segments, whatever happens.  The kernel calls the functions below; write what
 * they should do.  The header lab_cc.h has everything that they may use.
 */
#include "lab_cc.h"

/* The variables of one connection.  They are 0 when the connection begins. */
struct state {
	u32 acked;	/* segments acknowledged since the window last grew */
};

/* The kernel calls this when the connection begins. */
static void init(struct sock *sk)
{
	lab_set_cwnd(sk, 10);
}

/*
 * The kernel asks this after a loss: it reduces the window to what you return, and slow start ends there from now on.
 * TODO: what does "multiplicative decrease" mean?  The window must never fall below 2.
 */
static u32 ssthresh(struct sock *sk)
{
	return 10;
}

/*
 * The kernel calls this for each ACK that acknowledges new data: `acked` segments of it.
 * TODO: in slow start (tcp_in_slow_start()), the window grows by one segment for each segment that is acknowledged.
 * TODO: after that, it grows by one segment for each whole window that is acknowledged.  lab_private(sk, struct state)
 * gives you your variables, and lab_set_cwnd(sk, window) sets the window.
 */
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
}

/* The kernel asks this if segments that it took for lost have arrived after all. */
static u32 undo_cwnd(struct sock *sk)
{
	return max(tcp_sk(sk)->snd_cwnd, tcp_sk(sk)->prior_cwnd);
}

LAB_CC("my_aimd", init, ssthresh, cong_avoid, undo_cwnd);
