/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The layouts of the events that collectors pass to user space.
 *
 * This is their only definition: the agent reads the offsets from the compiled program, so a new field does not have to
 * be declared in Python, too.
 *
 * The fields have the types u8 ... u64, or arrays of them, because bcc can decode no other types.  Wider fields come
 * first, so that there is no hidden padding.  Field names are those of the kernel and of bcc's tools.  The following
 * holds for all events: ts_ns is a time on CLOCK_MONOTONIC, addresses are IPv6 (an IPv4 address is ::ffff:a.b.c.d),
 * ports are in host byte order, and netns is the number of the network namespace.
 */
#ifndef LAB_EVENTS_H
#define LAB_EVENTS_H

#define UNKNOWN_NS (~0ULL)

/*
 * The congestion state of a connection just before a received segment is processed, when a segment is sent, or after a
 * timeout.
 */
struct tcp_probe_event {
	u64 ts_ns;
	u64 sock_cookie;
	u64 pacing_rate;	/* bytes per second */
	u64 delivery_rate;	/* bytes per second, as ss shows it: see tcp_compute_delivery_rate() */
	u64 ca_bandwidth;	/* BBR: estimated bottleneck bandwidth, bytes per second */
	u8 saddr[16];		/* local address of the socket */
	u8 daddr[16];		/* remote address of the socket */
	u8 ca_name[16];		/* name of the congestion control */
	u32 snd_nxt;
	u32 snd_una;
	u32 snd_cwnd;		/* segments */
	u32 ssthresh;		/* segments */
	u32 snd_wnd;		/* bytes */
	u32 srtt_us;
	u32 rcv_wnd;		/* bytes */
	u32 mark;
	u32 packets_out;	/* segments; so are the next four fields */
	u32 sacked_out;
	u32 lost_out;
	u32 retrans_out;
	u32 total_retrans;
	u32 mss;		/* bytes */
	u32 min_rtt_us;
	u32 sndbuf;		/* bytes; so are the next three fields */
	u32 wmem_queued;
	u32 rcvbuf;
	u32 rmem_alloc;
	u32 ca_min_rtt_us;	/* BBR: min_rtt_us; Vegas: baseRTT */
	u32 ca_gain;		/* BBR: pacing gain, in units of 1/256 */
	u32 ca_window_max;	/* CUBIC: W_max, segments */
	u32 ca_k_ms;		/* CUBIC: K, milliseconds */
	u32 netns;
	u16 data_len;		/* payload of the segment in bytes; GSO may later split a segment that is sent */
	u16 sport;
	u16 dport;
	u16 family;		/* of the addresses: AF_INET or AF_INET6; so it is in all events */
	u16 ca_alpha;		/* DCTCP: alpha, in units of 1/1024 */
	u8 ca_state;		/* Open, Disorder, CWR, Recovery, Loss */
	u8 ca_mode;		/* BBR: Startup, Drain, ProbeBW, ProbeRTT; 255 for other algorithms */
	u8 is_transmit;		/* 0: the segment is received; 1: it is sent; 2: it is sent again after a timeout */
	u8 unused[3];
};

/* A change of a connection's state. */
struct states_event {
	u64 ts_ns;
	u64 skaddr;		/* address of the socket in the kernel */
	u64 duration_ns;	/* time that the connection spent in oldstate; 0 if unknown */
	u8 saddr[16];
	u8 daddr[16];
	u8 comm[16];		/* name of the thread that was running, which is not always the owner of the socket */
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
	u64 ts_ns;		/* end of the connection */
	u64 duration_ns;
	u64 tx_bytes;		/* bytes sent and acknowledged by the other end */
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
	u32 seq;		/* 0 for a SYN-ACK; so are the next two fields */
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
	u64 skaddr;		/* 0 if the reset answers a segment that belongs to no socket */
	u8 saddr[16];
	u8 daddr[16];
	u32 reason;		/* enum sk_rst_reason if the kernel gives a reason, otherwise 0 */
	u32 netns;
	u16 sport;
	u16 dport;
	u16 family;
	u8 state;		/* 0 if there is no socket */
	u8 is_sent;		/* 1: the reset was sent; 0: it was received */
};

/* A socket that the kernel destroys. */
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
	u8 saddr[16];		/* address of the sender */
	u8 daddr[16];
	u32 seq;
	u32 ack;
	u32 length;		/* payload, bytes */
	u32 netns;
	u32 ifindex;
	u16 window;		/* as in the header, without window scaling */
	u16 sport;
	u16 dport;
	u16 family;
	u8 flags;		/* FIN SYN RST PSH ACK URG ECE CWR, from bit 0 */
	u8 ecn;			/* ECN field of the IP header: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE */
	u8 unused[2];
};

/* A packet that the kernel drops. */
struct drops_event {
	u64 ts_ns;
	u64 location;		/* address of the code that dropped the packet */
	u8 saddr[16];		/* address of the sender */
	u8 daddr[16];
	u32 seq;
	u32 length;		/* TCP and UDP: payload, bytes */
	u32 packet_bytes;
	u32 reason;		/* enum skb_drop_reason */
	u32 netns;
	u32 ifindex;		/* device to which the packet belonged; 0 if none */
	u16 ether_type;
	u16 sport;
	u16 dport;
	u16 family;
	u8 protocol;		/* protocol number in the IP header */
	u8 flags;
	u8 unused[2];
	u32 datagram;		/* UDP: number of the packet if the sender is iperf3, which counts from 1; 0: unknown */
};

enum queue_sample { AT_INTERVAL, ENQUEUE, DEQUEUE };

/* The state of a queue, at the end of a sampling interval or after a packet has entered or left. */
struct queue_event {
	u64 ts_ns;
	u64 sojourn_ns;		/* time that the departed packet spent in the queue; UNKNOWN_NS if it is not known */
	u32 backlog_bytes;
	u32 backlog_packets;
	u32 drops;		/* since the queue was created; so is requeues */
	u32 requeues;
	u32 marks;		/* packets that entered without CE and left with it, since recording started */
	u32 netns;
	u32 ifindex;
	u32 packet_bytes;	/* size of the packet; 0 at the end of an interval */
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

/* What a flow sent or received in one bin of time; bins without packets are left out. */
struct accounts_event {
	u64 ts_ns;		/* start of the bin; the bin before the start of traffic holds everything before it */
	u32 flow;		/* number of the flow in the job */
	u32 side;		/* sent, arrived, sent_backward, arrived_backward or delivered */
	u32 packets;
	u32 bytes;		/* of payload, further copies included */
	u32 again_packets;	/* sent: retransmissions; arrived: further copies */
	u32 again_bytes;
	u32 ce_packets;
	u32 unused;
};

/* How full the queue of a link was in one bin of time, or, if it did not change, in several. */
struct backlog_event {
	u64 ts_ns;		/* start of the time */
	u64 length_ns;
	u64 byte_ns;		/* integral of the queue's length in bytes over this time; divided by it, the mean */
	u64 packet_ns;		/* the same in packets */
	u32 netns;
	u32 ifindex;
	u32 most_bytes;
	u32 end_bytes;		/* in the queue at the end of this time */
	u32 entered_packets;
	u32 left_packets;
	u32 removed_bytes;	/* by which the queue became shorter: sent or dropped */
	u32 most_packets;
};

/* Packets of a flow that were dropped at one place for one reason in one bin of time. */
struct losses_event {
	u64 ts_ns;		/* start of the bin; the bin before the start of traffic holds everything before it */
	u64 location;
	u32 netns;
	u32 ifindex;		/* 0: the packet had arrived at a socket */
	u32 flow;		/* number of the flow in the job */
	u32 reason;
	u32 way;		/* forward: data; backward: acknowledgements */
	u32 packets;
	u32 bytes;		/* of payload */
	u32 unused;
};

/* The counters of a data connection's socket; the names are those of struct tcp_info without the prefix tcpi_. */
struct sockets_event {
	u64 ts_ns;
	u64 jiffies;
	u64 bytes_sent;
	u64 bytes_acked;
	u64 bytes_retrans;
	u64 bytes_received;
	u8 ca_name[16];
	u32 flow;
	u32 segs_out;
	u32 segs_in;
	u32 data_segs_out;
	u32 data_segs_in;
	u32 total_retrans;
	u32 delivered;
	u32 delivered_ce;
	u32 unacked;
	u32 snd_cwnd;
	u32 snd_ssthresh;
	u32 snd_wnd;
	u32 snd_mss;
	u32 rtt;		/* microseconds; so are the next two fields */
	u32 rttvar;
	u32 min_rtt;
	u32 reordering;
	u32 reord_seen;
	u32 dsack_dups;
	u32 rcv_ooopack;
	u32 chrono_busy;	/* jiffies; so are the next three fields (struct tcp_sock, chrono_stat) */
	u32 chrono_rwnd_limited;
	u32 chrono_sndbuf_limited;
	u32 chrono_start;
	u32 chrono_type;	/* which of the three is running: 1, 2 or 3; 0: none */
	u32 fin_timeout;	/* the sysctl tcp_fin_timeout, jiffies: tells how long a jiffy is */
	u32 unused2;
	u16 sport;
	u16 dport;
	u8 oldstate;
	u8 newstate;
	u8 is_sender;		/* 1: this end sends the flow's data */
	u8 unused;
};

#endif
