/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Everything that a congestion control algorithm in BPF needs, in one header.
 *
 * An algorithm is one C file.  It includes this header, defines some of the functions that are listed under "The
 * functions of an algorithm", and ends with a line that names the algorithm and these functions:
 *
 *	#include "lab_cc.h"
 *
 *	static u32 ssthresh(struct sock *sk)
 *	{
 *		return max(tcp_sk(sk)->snd_cwnd / 2, 2);
 *	}
 *
 *	static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
 *	{
 *		tcp_reno_cong_avoid(sk, ack, acked);
 *	}
 *
 *	static u32 undo_cwnd(struct sock *sk)
 *	{
 *		return tcp_reno_undo_cwnd(sk);
 *	}
 *
 *	LAB_CC("my_reno", ssthresh, cong_avoid, undo_cwnd);
 *
 * The kernel calls the functions as it calls those of its own algorithms (struct tcp_congestion_ops in
 * include/net/tcp.h).  The page "How the kernel calls a congestion control" in the documentation says when.
 *
 * Names without "lab" are the kernel's own, with the kernel's meaning.  Names that begin with lab_ or LAB_ exist only
 * here.  The header includes no other header, neither of the kernel nor of libbpf: where the fields of a structure lie
 * is worked out when the program is loaded (CO-RE), so the same object runs on all of lab's kernels.
 */
#ifndef LAB_CC_H
#define LAB_CC_H

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

/* ==== Small things ================================================================================================ */

/* Numbers such as the 2 in max(cwnd, 2) are signed; a comparison with an unsigned window is no reason for a warning. */
#define LAB_CHOOSE(a, comparison, b) ({									\
	_Pragma("clang diagnostic push")								\
	_Pragma("clang diagnostic ignored \"-Wsign-compare\"")						\
	typeof(a) lab_a_ = (a);										\
	typeof(b) lab_b_ = (b);										\
	lab_a_ comparison lab_b_ ? lab_a_ : lab_b_;							\
	_Pragma("clang diagnostic pop")									\
})

/** The smaller of two values.  Each of them is evaluated once. */
#define min(a, b) LAB_CHOOSE(a, <, b)

/** The larger of two values.  Each of them is evaluated once. */
#define max(a, b) LAB_CHOOSE(a, >, b)

/** The value, or the nearer limit if it is not between the two limits. */
#define clamp(value, low, high) min(max(value, low), high)

/**
 * Keeps the compiler from knowing what is in a variable.  If the verifier refuses an array's index although you check
 * it, the compiler may have moved the check: write `barrier_var(i);` in front of it.
 */
#define barrier_var(variable) asm volatile("" : "+r"(variable))

/**
 * Whether sequence number `a` is before `b`.  Sequence numbers begin anywhere and wrap around: `<` is wrong for
 * them.
 */
static __always_inline bool before(u32 a, u32 b)
{
	return (s32)(a - b) < 0;
}

/** Whether sequence number `a` is after `b`.  The same works for counts that wrap around, such as `tp->delivered`. */
static __always_inline bool after(u32 a, u32 b)
{
	return before(b, a);
}

/* ==== The connection ============================================================================================== */

/** The TCP state of a connection. */
static __always_inline struct tcp_sock *tcp_sk(const struct sock *sk)
{
	return (struct tcp_sock *)sk;
}

/** The part of a connection that all connection-oriented protocols have. */
static __always_inline struct inet_connection_sock *inet_csk(const struct sock *sk)
{
	return (struct inet_connection_sock *)sk;
}

/** The kernel's name for the algorithm's own 104 bytes in each connection.  lab_private() checks the size, too. */
static __always_inline void *inet_csk_ca(const struct sock *sk)
{
	return inet_csk(sk)->icsk_ca_priv;
}

/**
 * The algorithm's own variables of this connection, as a pointer to a structure of type `type` (at most 104 bytes):
 * `struct state *own = lab_private(sk, struct state);`.  They are 0 when the connection begins.  An array in this
 * structure can only be indexed by constants; use a map of type BPF_MAP_TYPE_SK_STORAGE for other arrays.
 */
#define lab_private(sk, type) ({									\
	_Static_assert(sizeof(type) <= 104, "lab_private: " #type " is larger than 104 bytes");	\
	(type *)inet_csk_ca(sk);									\
})

/* A bit-field of a kernel structure: its byte, then a shift to either side, all of which CO-RE fills in. */
#define LAB_BITS(pointer, field) ({									\
	const void *at_ = (const void *)(pointer) + __builtin_preserve_field_info((pointer)->field, 0);	\
	u64 bits_;											\
	asm volatile("" : "+r"(at_));									\
	switch (__builtin_preserve_field_info((pointer)->field, 1)) {					\
	case 1: bits_ = *(const u8 *)at_; break;							\
	case 2: bits_ = *(const u16 *)at_; break;							\
	case 4: bits_ = *(const u32 *)at_; break;							\
	default: bits_ = *(const u64 *)at_;								\
	}												\
	bits_ << __builtin_preserve_field_info((pointer)->field, 4)					\
		>> __builtin_preserve_field_info((pointer)->field, 5);					\
})

/** The state of loss recovery: TCP_CA_Open to TCP_CA_Loss. */
static __always_inline u8 tcp_ca_state(const struct sock *sk)
{
	return LAB_BITS((const struct inet_connection_sock___bits *)sk, icsk_ca_state);
}

/** Whether the connection is in slow start: its window is below the slow start threshold. */
static __always_inline bool tcp_in_slow_start(const struct tcp_sock *tp)
{
	return tp->snd_cwnd < tp->snd_ssthresh;
}

/**
 * Whether the window is what limits the connection.  If it is not, because the application sends little or the receiver
 * is slow, the ACKs say nothing about a larger window, and the window should not grow (RFC 7661).
 */
static __always_inline bool tcp_is_cwnd_limited(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	if (LAB_BITS((const struct tcp_sock___bits *)sk, is_cwnd_limited))
		return true;
	return tcp_in_slow_start(tp) && tp->snd_cwnd < 2 * tp->max_packets_out;
}

/** How many segments are in the network: sent, and neither known to have arrived nor taken to be lost. */
static __always_inline u32 tcp_packets_in_flight(const struct tcp_sock *tp)
{
	return tp->packets_out - (tp->sacked_out + tp->lost_out) + tp->retrans_out;
}

/** The smoothed round trip time in µs (RFC 6298); 0 before the first measurement. */
static __always_inline u32 lab_srtt_us(const struct sock *sk)
{
	return tcp_sk(sk)->srtt_us >> 3;
}

/** The smallest round trip time of the last 300 seconds (net.ipv4.tcp_min_rtt_wlen) in µs; 2³²-1 before the first. */
static __always_inline u32 tcp_min_rtt(const struct tcp_sock *tp)
{
	return ((const struct tcp_sock___rtt *)tp)->rtt_min.s[0].v;
}

/* ==== Window and pacing =========================================================================================== */

/* The kernel's own functions (kfuncs, net/ipv4/tcp_cong.c). */

/**
 * Slow start: the window grows by one segment for each acknowledged one, up to the slow start threshold.  Returns how
 * many of the acknowledged segments are left when the threshold is reached.
 */
extern u32 tcp_slow_start(struct tcp_sock *tp, u32 acked) __ksym;

/** Reno's answer to a loss: half the window, and at least 2 segments. */
extern u32 tcp_reno_ssthresh(struct sock *sk) __ksym;

/** Reno's growth: slow start, then one segment per round trip; nothing if the window is not what limits. */
extern void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked) __ksym;

/** The window before the last reduction, or the present one if it is larger: what most algorithms go back to. */
extern u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;

extern void tcp_cong_avoid_ai(struct tcp_sock *tp, u32 w, u32 acked) __ksym;

/**
 * Sets the congestion window, in segments: at least 2, and at most what the kernel allows (`snd_cwnd_clamp`).
 */
static __always_inline void lab_set_cwnd(struct sock *sk, u64 segments)
{
	struct tcp_sock *tp = tcp_sk(sk);

	tp->snd_cwnd = clamp(segments, 2, tp->snd_cwnd_clamp);
}

/**
 * Sets the pacing rate in bytes per second, and turns pacing on: segments leave one by one at this rate instead of in
 * bursts.  The window still limits how many are in flight.  With cong_avoid(), the kernel computes a rate of its own
 * after each ACK (2 windows per round trip in slow start, 1.2 later), which replaces this one.  With
 * cong_control(), the rate stays until it is set again.  A rate of 0 means no pacing.
 */
static __always_inline void lab_set_pacing_rate(struct sock *sk, u64 bytes_per_second)
{
	if (sk->sk_pacing_status == SK_PACING_NONE)
		sk->sk_pacing_status = SK_PACING_NEEDED;
	sk->sk_pacing_rate = min(bytes_per_second, sk->sk_max_pacing_rate);
}

/** The delivery rate that a rate sample has measured, in bytes of data per second; 0 if the sample is of no use. */
static __always_inline u64 lab_delivery_rate(const struct sock *sk, const struct rate_sample *rs)
{
	s32 delivered = rs->delivered;
	s64 interval_us = rs->interval_us;

	if (delivered <= 0 || interval_us <= 0)
		return 0;
	return (u64)delivered * tcp_sk(sk)->mss_cache * 1000000 / (u64)interval_us;
}

/*
 * The kernel's tcp_cong_avoid_ai() divides by w.  With w = 0, the kernel would stop with a division error, and so the
 * kernel's function is only called through this one.
 */
static __always_inline void lab_cong_avoid_ai(struct tcp_sock *tp, u32 w, u32 acked)
{
	tcp_cong_avoid_ai(tp, max(w, 1), acked);
}

/**
 * Additive increase: after `w` acknowledged segments the window grows by one segment.  `w = tp->snd_cwnd` gives one
 * segment per round trip, as Reno does it; a smaller `w` grows faster.  `w = 0` counts as 1.
 */
#define tcp_cong_avoid_ai(tp, w, acked) lab_cong_avoid_ai(tp, w, acked)

/* ==== Time ======================================================================================================== */

/** The time in ns since the machine was started. */
static __always_inline u64 lab_now_ns(void)
{
	return bpf_ktime_get_ns();
}

/** The time in µs since the machine was started. */
static __always_inline u64 lab_now_us(void)
{
	return bpf_ktime_get_ns() / 1000;
}

/* ==== Filters over a window of time =============================================================================== */

struct minmax_sample {
	u32 t;
	u32 v;
};

/** The state of a windowed filter, 24 bytes, which fits into the private variables. */
struct minmax {
	struct minmax_sample s[3];	/* the best, second best and third best value, each newer than the one before */
};

/** The result of a filter: the largest or smallest value of the window. */
static __always_inline u32 minmax_get(const struct minmax *m)
{
	return m->s[0].v;
}

/** Forgets everything but this value.  Returns the value. */
static __always_inline u32 minmax_reset(struct minmax *m, u32 t, u32 value)
{
	struct minmax_sample sample = { .t = t, .v = value };

	m->s[2] = m->s[1] = m->s[0] = sample;
	return value;
}

/* Drops values that have left the window, and keeps the three of different quarters of it (lib/win_minmax.c). */
static __always_inline u32 lab_minmax_age(struct minmax *m, u32 win, struct minmax_sample sample)
{
	u32 age = sample.t - m->s[0].t;

	if (age > win) {
		/* The best value is too old.  The second best may be, too. */
		m->s[0] = m->s[1];
		m->s[1] = m->s[2];
		m->s[2] = sample;
		if (sample.t - m->s[0].t > win) {
			m->s[0] = m->s[1];
			m->s[1] = m->s[2];
			m->s[2] = sample;
		}
	} else if (m->s[1].t == m->s[0].t && age > win / 4) {
		/* A quarter of the window has passed without a second best value: take one from the second quarter. */
		m->s[2] = m->s[1] = sample;
	} else if (m->s[2].t == m->s[1].t && age > win / 2) {
		/* Half the window has passed without a third best value: take one from the second half. */
		m->s[2] = sample;
	}
	return m->s[0].v;
}

/**
 * Adds a value to a filter and returns the largest value of the last `win` units of time (lib/win_minmax.c).  `t` is the
 * time of the value, in any unit that only grows: µs, or round trips.
 */
static __always_inline u32 minmax_running_max(struct minmax *m, u32 win, u32 t, u32 value)
{
	struct minmax_sample sample = { .t = t, .v = value };

	if (value >= m->s[0].v || t - m->s[2].t > win)
		return minmax_reset(m, t, value);
	if (value >= m->s[1].v)
		m->s[2] = m->s[1] = sample;
	else if (value >= m->s[2].v)
		m->s[2] = sample;
	return lab_minmax_age(m, win, sample);
}

/**
 * Adds a value to a filter and returns the smallest value of the last `win` units of time, as minmax_running_max() does.
 * Call minmax_reset() with the first value, because a filter that is all 0 has 0 as its smallest value.
 */
static __always_inline u32 minmax_running_min(struct minmax *m, u32 win, u32 t, u32 value)
{
	struct minmax_sample sample = { .t = t, .v = value };

	if (value <= m->s[0].v || t - m->s[2].t > win)
		return minmax_reset(m, t, value);
	if (value <= m->s[1].v)
		m->s[2] = m->s[1] = sample;
	else if (value <= m->s[2].v)
		m->s[2] = sample;
	return lab_minmax_age(m, win, sample);
}

/* ==== Arithmetic ==================================================================================================
 *
 * The kernel has no floating-point numbers.  Multiply first and divide last: `cwnd * 7 / 10`.
 */

/** Divides signed numbers, which BPF before version 4 cannot do with `/`.  Rounds towards 0; divided by 0 gives 0. */
static __always_inline s64 lab_div_s64(s64 dividend, s64 divisor)
{
	u64 a = dividend < 0 ? -(u64)dividend : (u64)dividend;
	u64 b = divisor < 0 ? -(u64)divisor : (u64)divisor;
	u64 quotient = b ? a / b : 0;

	return (dividend < 0) != (divisor < 0) ? -(s64)quotient : (s64)quotient;
}

/**
 * The largest number whose third power is not above `value`, by Newton's method from above.
 */
static __noinline __attribute__((unused)) u32 lab_cube_root(u64 value)
{
	u64 root = 1 << 22;		/* above the cube root of 2^64 */

	if (!value)
		return 0;
	/* At most 64 steps: a third of the distance goes in each, until the next step would not be smaller. */
	for (int i = 0; i < 64; i++) {
		u64 next = (2 * root + value / (root * root)) / 3;

		if (next >= root)
			break;
		root = next;
	}
	return root;
}

/* ==== Own variables in the results ================================================================================ */

/* A row of the ring buffer.  The agent knows this layout. */
struct lab_trace_row {
	u64 ts_ns;
	s64 value;
	char name[16];
	u32 saddr[4];			/* IPv6, or IPv4 as ::ffff:a.b.c.d, in network byte order */
	u32 daddr[4];
	u16 sport;			/* in host byte order */
	u16 dport;
	u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} lab_trace_ring SEC(".maps");

/* How many rows did not fit into the ring buffer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} lab_trace_lost SEC(".maps");

static __always_inline void lab_trace_write(const struct sock *sk, const char *name, s64 value)
{
	struct lab_trace_row *row = bpf_ringbuf_reserve(&lab_trace_ring, sizeof(*row), 0);

	if (!row) {
		u32 zero = 0;
		u64 *lost = bpf_map_lookup_elem(&lab_trace_lost, &zero);

		if (lost)
			(*lost)++;
		return;
	}
	row->ts_ns = bpf_ktime_get_ns();
	row->value = value;
	__builtin_memcpy(row->name, name, sizeof(row->name));
	if (sk->__sk_common.skc_family == AF_INET6) {
		for (int i = 0; i < 4; i++) {
			row->saddr[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			row->daddr[i] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i];
		}
	} else {
		row->saddr[0] = row->saddr[1] = row->daddr[0] = row->daddr[1] = 0;
		row->saddr[2] = row->daddr[2] = 0xffff0000;
		row->saddr[3] = sk->__sk_common.skc_rcv_saddr;
		row->daddr[3] = sk->__sk_common.skc_daddr;
	}
	row->sport = sk->__sk_common.skc_num;
	row->dport = __builtin_bswap16(sk->__sk_common.skc_dport);
	row->unused = 0;
	bpf_ringbuf_submit(row, BPF_RB_NO_WAKEUP);
}

/**
 * Records a value (a signed integer) with the time and the connection.  `name` is a text in quotes of 1 to 15
 * characters: `lab_trace(sk, "queued", queued);`.  The values are in the trial's data, one column for each name, and the
 * report draws them over time.  A call takes a fraction of a microsecond; one or a few for each ACK do no harm.
 */
#define lab_trace(sk, name, value)									\
	do {												\
		_Static_assert(sizeof("" name) > 1 && sizeof("" name) <= 16,				\
			       "lab_trace: a name has 1 to 15 characters");				\
		lab_trace_write(sk, name "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", value);			\
	} while (0)

/* ==== The functions of an algorithm ===============================================================================
 *
 * An algorithm needs ssthresh(), undo_cwnd(), and either cong_avoid() or cong_control(); the others are optional.  Their
 * names and arguments are the kernel's.  They are declared here, so that the compiler reports a wrong argument where the
 * function is defined.
 */

#pragma clang diagnostic push
/* Those that an algorithm leaves out.  A function that is defined and not named in LAB_CC still gives a warning. */
#pragma clang diagnostic ignored "-Wunused-function"

/**
 * Required: what the slow start threshold should be after a loss or a mark of congestion, in segments.  The kernel
 * calls it once for each reduction, while `tp->snd_cwnd` is still the old window.  With cong_avoid(), it then reduces
 * the window to the result within a round trip (RFC 6937), or to 1 segment more than is in flight after a timeout.
 */
static u32 ssthresh(struct sock *sk);

/**
 * Called for each ACK that acknowledges new data, unless the kernel is reducing the window (TCP_CA_Recovery and
 * TCP_CA_CWR).  Sets `tp->snd_cwnd`.  `ack` is the acknowledgement number, and `acked` the number of segments that are
 * newly acknowledged, cumulatively or by SACK.
 */
static void cong_avoid(struct sock *sk, u32 ack, u32 acked);

/**
 * Called for each ACK in every state, instead of cong_avoid().  The algorithm alone decides about the window and the
 * pacing rate: the kernel does not reduce the window after losses, except to a few segments after a timeout.
 */
static void cong_control(struct sock *sk, const struct rate_sample *rs);

/** Required: the window to go back to, in segments, when a reduction turns out to have been unnecessary. */
static u32 undo_cwnd(struct sock *sk);

/** Called when the connection begins to use the algorithm.  lab_private() is all 0 at this time. */
static void init(struct sock *sk);

/** Called when the connection ends, or changes to another algorithm. */
static void release(struct sock *sk);

/** Called for each ACK while data are in flight, before cong_avoid(); tells the round trip time of the ACK. */
static void pkts_acked(struct sock *sk, const struct ack_sample *sample);

/** Called before the state of loss recovery changes to `new_state` (enum tcp_ca_state). */
static void set_state(struct sock *sk, u8 new_state);

/** Called when something has happened to the window (enum tcp_ca_event). */
static void cwnd_event(struct sock *sk, enum tcp_ca_event event);

/** Called for each ACK, before cong_avoid(); `flags` are bits: CA_ACK_SLOWPATH, CA_ACK_WIN_UPDATE and CA_ACK_ECE. */
static void in_ack_event(struct sock *sk, u32 flags);

/** How many segments a burst that is handed to the network card has at least. */
static u32 min_tso_segs(struct sock *sk);

/** How many times the window the send buffer should be; 2 without this function. */
static u32 sndbuf_expand(struct sock *sk);

#pragma clang diagnostic pop

/* ==== LAB_CC: from functions to an algorithm ====================================================================== */

/*
 * The kernel gives a program its arguments as an array of 64-bit numbers.  Each function of the student's is called by
 * a program that takes them out of the array.
 */
#define LAB_SK ((struct sock *)ctx[0])
#define LAB_PROGRAM(op) SEC("struct_ops/" #op)
#define LAB_WRAP_ssthresh LAB_PROGRAM(ssthresh) u32 lab_ssthresh(u64 *ctx) { return ssthresh(LAB_SK); }
#define LAB_WRAP_cong_avoid LAB_PROGRAM(cong_avoid) void lab_cong_avoid(u64 *ctx) { cong_avoid(LAB_SK, ctx[1], ctx[2]); }
#define LAB_WRAP_undo_cwnd LAB_PROGRAM(undo_cwnd) u32 lab_undo_cwnd(u64 *ctx) { return undo_cwnd(LAB_SK); }
#define LAB_WRAP_init LAB_PROGRAM(init) void lab_init(u64 *ctx) { init(LAB_SK); }
#define LAB_WRAP_release LAB_PROGRAM(release) void lab_release(u64 *ctx) { release(LAB_SK); }
#define LAB_WRAP_pkts_acked LAB_PROGRAM(pkts_acked) void lab_pkts_acked(u64 *ctx)			\
{													\
	pkts_acked(LAB_SK, (const struct ack_sample *)ctx[1]);						\
}
#define LAB_WRAP_set_state LAB_PROGRAM(set_state) void lab_set_state(u64 *ctx) { set_state(LAB_SK, ctx[1]); }
#define LAB_WRAP_cwnd_event LAB_PROGRAM(cwnd_event) void lab_cwnd_event(u64 *ctx) { cwnd_event(LAB_SK, ctx[1]); }
#define LAB_WRAP_in_ack_event LAB_PROGRAM(in_ack_event) void lab_in_ack_event(u64 *ctx) { in_ack_event(LAB_SK, ctx[1]); }
#define LAB_WRAP_min_tso_segs LAB_PROGRAM(min_tso_segs) u32 lab_min_tso_segs(u64 *ctx) { return min_tso_segs(LAB_SK); }
#define LAB_WRAP_sndbuf_expand LAB_PROGRAM(sndbuf_expand) u32 lab_sndbuf_expand(u64 *ctx) { return sndbuf_expand(LAB_SK); }

/*
 * Since Linux 6.10, cong_control has two more arguments in front of the sample (commit 57bfc7605ca5).  The verifier does
 * not look at the branch that this kernel never takes.  Both loads are in assembler, because the compiler would make one
 * load with a computed address of the two, which the verifier does not allow for the arguments.
 */
extern int LINUX_KERNEL_VERSION __kconfig;
#define KERNEL_VERSION(a, b, c) ((a) << 16 | (b) << 8 | (c))
#define LAB_WRAP_cong_control LAB_PROGRAM(cong_control) void lab_cong_control(u64 *ctx)		\
{													\
	const struct rate_sample *rs;									\
													\
	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 10, 0))						\
		asm volatile("%0 = *(u64 *)(%1 + 24)" : "=r"(rs) : "r"(ctx));				\
	else												\
		asm volatile("%0 = *(u64 *)(%1 + 8)" : "=r"(rs) : "r"(ctx));				\
	cong_control(LAB_SK, rs);									\
}

/* LAB_EACH(m, a, b, …) is m(a) m(b) …, for up to 12 names. */
#define LAB_EACH_1(m, a) m(a)
#define LAB_EACH_2(m, a, ...) m(a) LAB_EACH_1(m, __VA_ARGS__)
#define LAB_EACH_3(m, a, ...) m(a) LAB_EACH_2(m, __VA_ARGS__)
#define LAB_EACH_4(m, a, ...) m(a) LAB_EACH_3(m, __VA_ARGS__)
#define LAB_EACH_5(m, a, ...) m(a) LAB_EACH_4(m, __VA_ARGS__)
#define LAB_EACH_6(m, a, ...) m(a) LAB_EACH_5(m, __VA_ARGS__)
#define LAB_EACH_7(m, a, ...) m(a) LAB_EACH_6(m, __VA_ARGS__)
#define LAB_EACH_8(m, a, ...) m(a) LAB_EACH_7(m, __VA_ARGS__)
#define LAB_EACH_9(m, a, ...) m(a) LAB_EACH_8(m, __VA_ARGS__)
#define LAB_EACH_10(m, a, ...) m(a) LAB_EACH_9(m, __VA_ARGS__)
#define LAB_EACH_11(m, a, ...) m(a) LAB_EACH_10(m, __VA_ARGS__)
#define LAB_EACH_12(m, a, ...) m(a) LAB_EACH_11(m, __VA_ARGS__)
#define LAB_13TH(a, b, c, d, e, f, g, h, i, j, k, l, m, ...) m
#define LAB_JOIN(a, b) a##b
#define LAB_EACH_OF(count, m, ...) LAB_JOIN(LAB_EACH_, count)(m, __VA_ARGS__)
#define LAB_EACH(m, ...) LAB_EACH_OF(LAB_13TH(__VA_ARGS__, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, ), m, __VA_ARGS__)

#define LAB_WRAP(op) LAB_WRAP_##op
#define LAB_FIELD(op) .op = (void *)lab_##op,
#define LAB_BIT(op) (1ULL << __builtin_offsetof(struct tcp_congestion_ops, op) / 8) |

/**
 * Flags of the algorithm, to be defined before the header is included: `#define LAB_CC_FLAGS TCP_CONG_NEEDS_ECN` lets
 * connections negotiate ECN and marks their packets, so that a queue can signal congestion without dropping them.
 */
#ifndef LAB_CC_FLAGS
#define LAB_CC_FLAGS 0
#endif

/* An experiment that gives the algorithm another name defines LAB_CC_NAME; what the file says does not count then. */
#ifdef LAB_CC_NAME
#define LAB_NAMED(algorithm) LAB_CC_NAME
#else
#define LAB_NAMED(algorithm) "" algorithm
#endif

/**
 * The last line of an algorithm: its name in quotes (1 to 15 letters, digits and `_`), and the names of its functions,
 * in any order.  It declares the program's licence as GPL, which the kernel demands of programs that call its functions.
 */
#define LAB_CC(algorithm, ...)										\
	_Static_assert(sizeof(LAB_NAMED(algorithm)) > 1 && sizeof(LAB_NAMED(algorithm)) <= TCP_CA_NAME_MAX,	\
		       "LAB_CC: a name has 1 to 15 characters");					\
	enum lab_given { lab_given = LAB_EACH(LAB_BIT, __VA_ARGS__) 0 };				\
	_Static_assert(lab_given & (LAB_BIT(ssthresh) 0), "LAB_CC: ssthresh is missing");		\
	_Static_assert(lab_given & (LAB_BIT(undo_cwnd) 0), "LAB_CC: undo_cwnd is missing");		\
	_Static_assert(lab_given & (LAB_BIT(cong_avoid) LAB_BIT(cong_control) 0),			\
		       "LAB_CC: cong_avoid or cong_control is missing");				\
	_Static_assert(~lab_given & (LAB_BIT(cong_avoid) 0) || ~lab_given & (LAB_BIT(cong_control) 0),	\
		       "LAB_CC: the kernel never calls cong_avoid if there is a cong_control; leave one of them out");	\
	LAB_EACH(LAB_WRAP, __VA_ARGS__)									\
	SEC(".struct_ops") struct tcp_congestion_ops lab_cc = {						\
		LAB_EACH(LAB_FIELD, __VA_ARGS__) .name = LAB_NAMED(algorithm), .flags = LAB_CC_FLAGS,		\
	};												\
	char lab_license[] SEC("license") = "GPL"

#endif
