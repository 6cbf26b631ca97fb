/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What the collectors hand to user space: the only definition of these layouts.  The agent learns the
 * offsets from the compiled program, so a field added here needs no twin in Python.
 *
 * Fields are spelled u8 ... u64 and arrays of them because bcc decodes nothing else; widest first, so
 * that there is no hidden padding.  Names are those of the kernel and of bcc's tools; ts_ns is CLOCK_MONOTONIC,
 * addresses are IPv6 (IPv4 as ::ffff:a.b.c.d), ports are in host order, netns is the network namespace's number.
 */
#ifndef LAB_EVENTS_H
#define LAB_EVENTS_H

/* A connection's congestion state, just before an incoming segment is processed, or when one leaves. */
struct tcp_probe_event {
	u64 ts_ns;
	u64 sock_cookie;
	u64 pacing_rate;	/* bytes per second */
	u64 delivery_rate;	/* bytes per second, as tcp_compute_delivery_rate() gives it to ss */
	u64 ca_bandwidth;	/* BBR: the bottleneck's bandwidth as it models it, bytes per second */
	u8 saddr[16];		/* the socket's own address */
	u8 daddr[16];
	u8 ca_name[16];		/* the congestion control's name */
	u32 snd_nxt;
	u32 snd_una;
	u32 snd_cwnd;		/* segments */
	u32 ssthresh;		/* segments */
	u32 snd_wnd;		/* bytes */
	u32 srtt_us;
	u32 rcv_wnd;		/* bytes */
	u32 mark;
	u32 packets_out;	/* segments, as the next three */
	u32 sacked_out;
	u32 lost_out;
	u32 retrans_out;
	u32 total_retrans;
	u32 mss;		/* bytes */
	u32 min_rtt_us;
	u32 sndbuf;		/* bytes, as the next three */
	u32 wmem_queued;
	u32 rcvbuf;
	u32 rmem_alloc;
	u32 ca_min_rtt_us;	/* BBR: min_rtt; Vegas: baseRTT */
	u32 ca_gain;		/* BBR: the pacing gain, in 1/256 */
	u32 ca_window_max;	/* CUBIC: W_max, segments */
	u32 ca_k_ms;		/* CUBIC: K, milliseconds */
	u32 netns;
	u16 data_len;		/* payload of the segment, bytes; one that leaves may be cut into several later (GSO) */
	u16 sport;
	u16 dport;
	u16 family;		/* AF_INET or AF_INET6 */
	u8 ca_state;		/* Open, Disorder, CWR, Recovery, Loss */
	u8 ca_mode;		/* BBR: Startup, Drain, ProbeBW, ProbeRTT */
	u8 is_transmit;		/* 1: a segment that leaves */
	u8 unused[5];
};

/* A change of a connection's state. */
struct states_event {
	u64 ts_ns;
	u64 skaddr;		/* the kernel's address of the socket */
	u64 duration_ns;	/* how long it was in oldstate; 0: not known */
	u8 saddr[16];
	u8 daddr[16];
	u8 comm[16];		/* of the thread that ran: not always the socket's owner */
	u32 pid;
	u32 netns;
	u16 sport;
	u16 dport;
	u16 family;
	u8 oldstate;
	u8 newstate;
};

/* A connection that has ended. */
struct life_event {
	u64 ts_ns;		/* of its end */
	u64 duration_ns;
	u64 tx_bytes;		/* acknowledged by the other end */
	u64 rx_bytes;
	u8 saddr[16];
	u8 daddr[16];
	u8 comm[16];
	u32 pid;
	u32 netns;
	u16 sport;
	u16 dport;
	u16 family;
	u16 unused;
};

enum retransmission { FAST_RETRANSMIT, TIMEOUT, TAIL_LOSS_PROBE, SYNACK, OTHER_RETRANSMIT };

/* A retransmitted segment. */
struct retrans_event {
	u64 ts_ns;
	u64 skaddr;
	u8 saddr[16];
	u8 daddr[16];
	u32 seq;		/* 0 for a SYN-ACK, as the next */
	u32 end_seq;
	u32 snd_cwnd;		/* segments */
	u32 netns;
	u16 sport;
	u16 dport;
	u16 family;
	u8 state;
	u8 ca_state;
	u8 kind;		/* enum retransmission */
	u8 unused[7];
};

/* A connection reset. */
struct resets_event {
	u64 ts_ns;
	u64 skaddr;		/* 0: a reset in answer to a segment that belonged to no socket */
	u8 saddr[16];
	u8 daddr[16];
	u32 reason;		/* enum sk_rst_reason, where the kernel gives one; else 0 */
	u32 netns;
	u16 sport;
	u16 dport;
	u16 family;
	u8 state;		/* 0: no socket */
	u8 is_sent;		/* 0: received */
};

/* A socket that is taken down. */
struct destroy_event {
	u64 ts_ns;
	u64 skaddr;
	u64 sock_cookie;
	u8 saddr[16];
	u8 daddr[16];
	u32 netns;
	u16 sport;
	u16 dport;
	u16 family;
	u16 unused[3];
};

/* A TCP segment that arrives at tcp_v4_rcv() or tcp_v6_rcv(). */
struct packets_event {
	u64 ts_ns;
	u8 saddr[16];		/* the sender's */
	u8 daddr[16];
	u32 seq;
	u32 ack;
	u32 length;		/* payload, bytes */
	u32 netns;
	u32 ifindex;
	u16 window;		/* as on the wire: not scaled */
	u16 sport;
	u16 dport;
	u16 family;
	u8 flags;		/* FIN SYN RST PSH ACK URG ECE CWR, from bit 0 */
	u8 ecn;			/* of the IP header: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE */
	u8 unused[2];
};

/* A packet that the kernel drops. */
struct drops_event {
	u64 ts_ns;
	u64 location;		/* the address that dropped it */
	u8 saddr[16];		/* the sender's */
	u8 daddr[16];
	u32 seq;
	u32 length;		/* TCP: payload, bytes */
	u32 packet_bytes;
	u32 reason;		/* enum skb_drop_reason */
	u32 netns;
	u32 ifindex;		/* the device the packet was on; 0: none */
	u16 ether_type;
	u16 sport;
	u16 dport;
	u16 family;
	u8 protocol;		/* of the IP header */
	u8 flags;
	u8 unused[6];
};

enum queue_sample { AT_INTERVAL, ENQUEUE, DEQUEUE };

/* A queue's state: at a declared interval, or after each packet. */
struct queue_event {
	u64 ts_ns;
	u64 sojourn_ns;		/* how long the packet that has left was in the queue; 0: not known */
	u32 backlog_bytes;
	u32 backlog_packets;
	u32 drops;		/* since the queue was made, as the next two */
	u32 requeues;
	u32 marks;		/* packets that left with CE but had come without; counted while recording */
	u32 netns;
	u32 ifindex;
	u32 packet_bytes;	/* 0 at an interval */
	u8 kind;		/* enum queue_sample */
	u8 unused[7];
};

_Static_assert(sizeof(struct tcp_probe_event) == 200, "padding in struct tcp_probe_event");
_Static_assert(sizeof(struct states_event) == 88, "padding in struct states_event");
_Static_assert(sizeof(struct life_event) == 96, "padding in struct life_event");
_Static_assert(sizeof(struct retrans_event) == 80, "padding in struct retrans_event");
_Static_assert(sizeof(struct resets_event) == 64, "padding in struct resets_event");
_Static_assert(sizeof(struct destroy_event) == 72, "padding in struct destroy_event");
_Static_assert(sizeof(struct packets_event) == 72, "padding in struct packets_event");
_Static_assert(sizeof(struct drops_event) == 88, "padding in struct drops_event");
_Static_assert(sizeof(struct queue_event) == 56, "padding in struct queue_event");

#endif
