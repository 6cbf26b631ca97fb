/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What the collectors hand to user space: the only definition of these layouts.  The agent learns the
 * offsets from the compiled program, so a field added here needs no twin in Python.
 *
 * Fields are spelled u8 ... u64 and arrays of them because bcc decodes nothing else; widest first, so
 * that there is no hidden padding.
 */
#ifndef LAB_EVENTS_H
#define LAB_EVENTS_H

/* One tcp:tcp_probe event: the state of a connection just before an incoming segment is processed. */
struct tcp_probe_event {
	u64 ts_ns;		/* CLOCK_MONOTONIC */
	u64 sock_cookie;
	u8 saddr[16];		/* the socket's own address; IPv4 as ::ffff:a.b.c.d */
	u8 daddr[16];
	u32 snd_nxt;
	u32 snd_una;
	u32 snd_cwnd;		/* segments */
	u32 ssthresh;		/* segments */
	u32 snd_wnd;		/* bytes */
	u32 srtt_us;		/* microseconds: the tracepoint has shifted it already */
	u32 rcv_wnd;		/* bytes */
	u32 mark;
	u16 data_len;		/* payload of the incoming segment, bytes */
	u16 sport;		/* host order */
	u16 dport;
	u16 family;		/* AF_INET or AF_INET6 */
};

_Static_assert(sizeof(struct tcp_probe_event) == 88, "padding in struct tcp_probe_event");

#endif
