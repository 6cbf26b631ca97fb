/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * A part of lab_cc.h: functions that algorithms call.
 */
#ifndef LAB_CC_CALLS_H
#define LAB_CC_CALLS_H

#include "lab_cc_types.h"

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
 * characters: `lab_trace(sk, "queued", queued);`.  The values are in the trial's `cc_trace.parquet`, and the report draws
 * them over time, with a panel for each name.  A call takes a fraction of a microsecond; a few for each ACK do no harm.
 */
#define lab_trace(sk, name, value)									\
	do {												\
		_Static_assert(sizeof("" name) > 1 && sizeof("" name) <= 16,				\
			       "lab_trace: a name has 1 to 15 characters");				\
		lab_trace_write(sk, name "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", value);			\
	} while (0)

#endif
