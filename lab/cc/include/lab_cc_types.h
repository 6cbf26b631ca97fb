/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * A part of lab_cc.h: types, the kernel's structures as far as algorithms need them, and the helpers of BPF.
 */
#ifndef LAB_CC_TYPES_H
#define LAB_CC_TYPES_H

/*
 * clang before version 16 puts small constant tables into a section (.rodata.cst16) that libbpf does not know.
 * bpf_object__open() then fails without any message.
 */
#pragma clang section rodata = ".rodata"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

/*
 * The programs and maps are visible to libbpf; all other functions are compiled with -fvisibility=hidden.  The verifier
 * then checks a function of the student's own where it is called.  Otherwise it would check the function alone, and
 * refuse every argument that is a socket.
 */
#define SEC(name) __attribute__((section(name), used, visibility("default")))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))
#define __kconfig __attribute__((section(".kconfig")))

/* The fields of a map's definition, as in libbpf's bpf_helpers.h. */
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

/* ==== The kernel's structures ======================================================================================
 *
 * Only what algorithms use; the kernel's structures have more fields.  "rw" marks the fields that an algorithm may
 * write, on all kernels.  Every other field can only be read, and the verifier refuses a program that writes it.
 */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	union {
		u8 u6_addr8[16];
		u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	u32 skc_daddr;			/* IPv4 address of the other end, in network byte order */
	u32 skc_rcv_saddr;		/* IPv4 address of this end, in network byte order */
	u16 skc_dport;			/* port of the other end, in network byte order */
	u16 skc_num;			/* port of this end, in host byte order */
	u16 skc_family;			/* 2: IPv4, 10: IPv6 */
	u8 skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

/** A connection, as all functions of an algorithm receive it. */
struct sock {
	struct sock_common __sk_common;
	unsigned long sk_pacing_rate;	/* rw: bytes per second; see lab_set_pacing_rate() */
	unsigned long sk_max_pacing_rate; /* bytes per second; the application's limit (SO_MAX_PACING_RATE) */
	u32 sk_pacing_status;		/* rw: SK_PACING_NONE, SK_PACING_NEEDED or SK_PACING_FQ */
	u8 sk_pacing_shift;
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	u8 icsk_retransmits;		/* retransmission timeouts in a row */
	u64 icsk_ca_priv[13];		/* rw: the algorithm's own 104 bytes; see lab_private() */
	struct {
		u8 pending;		/* rw */
	} icsk_ack;
};

/** The TCP state of a connection: tcp_sk(sk).  Windows and numbers of packets are in segments of mss_cache bytes. */
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 snd_cwnd;			/* rw: the congestion window, in segments */
	u32 snd_cwnd_cnt;		/* rw: segments acknowledged since the window last grew */
	u32 snd_ssthresh;		/* rw: the slow start threshold, in segments */
	u32 snd_cwnd_clamp;		/* the window never grows above this, in segments */
	u32 snd_cwnd_used;
	u32 snd_cwnd_stamp;		/* jiffies; can be written on Linux 6.12, but not on 6.1 */
	u32 prior_cwnd;			/* the window before the last reduction, in segments */
	u32 prior_ssthresh;

	u32 snd_una;			/* sequence number of the first byte that is not acknowledged */
	u32 snd_nxt;			/* sequence number of the next byte to be sent for the first time */
	u32 write_seq;			/* sequence number behind what the application has written */
	u32 rcv_nxt;

	u32 packets_out;		/* segments sent and not acknowledged cumulatively */
	u32 sacked_out;			/* of these, received according to SACK */
	u32 lost_out;			/* of these, taken to be lost */
	u32 retrans_out;		/* of these, sent again and not acknowledged */
	u32 max_packets_out;		/* the largest packets_out in the last window */

	u32 delivered;			/* segments that have arrived, retransmissions included; grows for ever */
	u32 delivered_ce;		/* of these, with a mark of congestion (ECN) */
	u32 lost;			/* segments taken to be lost; grows for ever */
	u32 total_retrans;		/* retransmissions; grows for ever */
	u32 app_limited;		/* 0, or the count of delivered up to which the application had too little to send */

	u32 srtt_us;			/* smoothed round trip time, 8 times as many µs; see lab_srtt_us() */
	u32 mdev_us;			/* mean deviation of the round trip time, 4 times as many µs */
	u32 rttvar_us;
	u32 mss_cache;			/* bytes of data in a full segment */
	u32 lsndtime;			/* jiffies of the last segment with data sent */
	u64 tcp_mstamp;			/* time of the segment that is processed, in µs */
	u64 tcp_clock_cache;		/* the same, in ns */
	u64 tcp_wstamp_ns;		/* time at which pacing lets the next segment go, in ns */
	u64 bytes_sent;
	u64 bytes_acked;
	u8 ecn_flags;			/* rw */
};

/** What pkts_acked() is told about an ACK. */
struct ack_sample {
	u32 pkts_acked;			/* segments that the ACK acknowledges cumulatively */
	s32 rtt_us;			/* round trip time in µs; negative if the ACK does not tell */
	u32 in_flight;			/* bytes delivered between the sending and the acknowledgement of the segment */
};

/** What cong_control() is told about an ACK.  The sample is of no use if delivered or interval_us is not positive. */
struct rate_sample {
	u64 prior_mstamp;		/* when the interval begins, in µs */
	u32 prior_delivered;		/* tp->delivered when the newest acknowledged segment was sent */
	u32 prior_delivered_ce;
	s32 delivered;			/* segments delivered in the interval */
	s32 delivered_ce;		/* of these, with a mark of congestion (ECN) */
	long interval_us;		/* length of the interval in µs */
	u32 snd_interval_us;
	u32 rcv_interval_us;
	long rtt_us;			/* round trip time of the newest segment in µs; -1 if unknown */
	int losses;			/* segments newly taken to be lost */
	u32 acked_sacked;		/* segments newly acknowledged, cumulatively or by SACK */
	u32 prior_in_flight;		/* segments in flight before this ACK */
	u32 last_end_seq;
	bool is_app_limited;		/* the application had too little to send: the path may be faster than this */
	bool is_retrans;		/* the sample is of a retransmission */
	bool is_ack_delayed;		/* probably a delayed ACK */
};

/*
 * Bit-fields are in structures of their own (libbpf ignores the name from ___ on), so that no program can read them
 * directly: clang works out at load time in which byte a bit-field lies, but not in which bits.  A plain access would
 * read wrong bits on another kernel, without any message.
 */
struct inet_connection_sock___bits {
	u8 icsk_ca_state : 5;
};

struct tcp_sock___bits {
	u8 is_cwnd_limited : 1;
};

struct minmax_sample___kernel {
	u32 t;
	u32 v;
};

struct minmax___kernel {
	struct minmax_sample___kernel s[3];
};

struct tcp_sock___rtt {
	struct minmax___kernel rtt_min;
};

#pragma clang attribute pop

/** What has happened to the window: the argument of cwnd_event(). */
enum tcp_ca_event {
	CA_EVENT_TX_START,		/* the first segment leaves after nothing was in flight; before Linux 7.1 only */
	CA_EVENT_CWND_RESTART,		/* the window was reset after the connection was idle */
	CA_EVENT_COMPLETE_CWR,		/* a recovery or a reduction of the window is over */
	CA_EVENT_LOSS,			/* retransmission timeout */
	CA_EVENT_ECN_NO_CE,		/* a segment has arrived without a mark of congestion */
	CA_EVENT_ECN_IS_CE,		/* a segment has arrived with a mark of congestion */
};

/** The state of loss recovery: the argument of set_state(), and tcp_ca_state(). */
enum tcp_ca_state {
	TCP_CA_Open,			/* nothing unusual */
	TCP_CA_Disorder,		/* duplicate ACKs or SACKs, not enough to say that something was lost */
	TCP_CA_CWR,			/* the window is being reduced because of ECN or a full queue in this host */
	TCP_CA_Recovery,		/* fast recovery after a loss */
	TCP_CA_Loss,			/* recovery after a retransmission timeout */
};

/* Bits of the argument of in_ack_event(). */
#define CA_ACK_SLOWPATH 1
#define CA_ACK_WIN_UPDATE 2
#define CA_ACK_ECE 4			/* the ACK says that a mark of congestion (ECN) has arrived */

#define TCP_INFINITE_SSTHRESH 0x7fffffff
#define TCP_INIT_CWND 10

#define SK_PACING_NONE 0
#define SK_PACING_NEEDED 1
#define SK_PACING_FQ 2

#define TCP_CONG_NON_RESTRICTED 1
#define TCP_CONG_NEEDS_ECN 2

#define TCP_CA_NAME_MAX 16
#define SOL_TCP 6
#define AF_INET6 10

/*
 * The table of functions that is registered in the kernel.  libbpf finds the kernel's fields by their names, so fields
 * may be missing here.  cong_control has no arguments here because they differ between kernels.
 */
struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	void (*set_state)(struct sock *sk, u8 new_state);
	void (*cwnd_event)(struct sock *sk, enum tcp_ca_event event);
	void (*in_ack_event)(struct sock *sk, u32 flags);
	void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
	u32 (*min_tso_segs)(struct sock *sk);
	void (*cong_control)(void);
	u32 (*undo_cwnd)(struct sock *sk);
	u32 (*sndbuf_expand)(struct sock *sk);
	char name[TCP_CA_NAME_MAX];
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
	u32 flags;
};

/* ==== BPF helpers ==================================================================================================
 *
 * Those that the kernel allows congestion controls to call, with their numbers from include/uapi/linux/bpf.h.  They are
 * described in the manual page bpf-helpers(7).
 */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static long (*const bpf_setsockopt)(void *sk, int level, int name, void *value, int length) = (void *)49;
static long (*const bpf_getsockopt)(void *sk, int level, int name, void *value, int length) = (void *)57;
static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value, u64 flags) = (void *)107;
static long (*const bpf_tcp_send_ack)(void *tp, u32 rcv_nxt) = (void *)116;
static u64 (*const bpf_jiffies64)(void) = (void *)118;
static void *(*const bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static long (*const bpf_loop)(u32 times, void *callback, void *context, u64 flags) = (void *)181;

/* Types of maps (enum bpf_map_type) and flags, for maps of the student's own. */
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_SK_STORAGE 24
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_F_NO_PREALLOC 1
#define BPF_SK_STORAGE_GET_F_CREATE 1
#define BPF_RB_NO_WAKEUP 1

#endif
