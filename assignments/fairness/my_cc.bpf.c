// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * A fixed window: always the same number of segments in flight, whatever happens.
 *
 * This is no congestion control that anybody should use; it is the shortest file that works, and a good way to see what
 * a window does.  One window is delivered in each round trip, so the goodput is window / RTT.  A window that is smaller
 * than the bandwidth-delay product leaves the path partly idle; one that is larger fills the bottleneck's queue.
 */
#include "lab_cc.h"

#define WINDOW 60	/* segments */

/* The kernel calls this when the connection begins. */
static void init(struct sock *sk)
{
	lab_set_cwnd(sk, WINDOW);
}

/*
 * The kernel calls this for each ACK.  An algorithm with cong_control() is alone responsible for the window: the kernel
 * does not reduce it after losses, as it would with cong_avoid().
 */
static void cong_control(struct sock *sk, const struct rate_sample *rs)
{
	lab_set_cwnd(sk, WINDOW);

	/* Shows up in the report as a curve: how many segments are in the network. */
	lab_trace(sk, "in_flight", tcp_packets_in_flight(tcp_sk(sk)));
}

/* Every algorithm has to say what the slow start threshold is after a loss, although this one has no slow start. */
static u32 ssthresh(struct sock *sk)
{
	return WINDOW;
}

/* Every algorithm has to say what the window is when a loss turns out to have been none. */
static u32 undo_cwnd(struct sock *sk)
{
	return WINDOW;
}

/* The name by which experiments call the algorithm, and its functions. */
LAB_CC("my_fair", init, cong_control, ssthresh, undo_cwnd);
