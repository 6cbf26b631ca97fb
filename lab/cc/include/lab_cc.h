/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* A congestion control in BPF: all that one file needs.  No other header is included, of the kernel or of libbpf. */
#ifndef LAB_CC_H
#define LAB_CC_H
#pragma GCC system_header
/* Constants where libbpf looks for them: clang before 16 puts small tables elsewhere than it says (.rodata.cst16). */
#pragma clang section rodata=".rodata"

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

#define SEC(name) __attribute__((section(name), used, visibility("default")))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))
#define __kconfig __attribute__((section(".kconfig")))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

/*
 * The kernel's structures, as far as algorithms need them.  Where a field lies is worked out when the program is loaded
 * (CO-RE), so order and gaps do not matter here.
 */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct in6_addr { union { u8 u6_addr8[16]; u32 u6_addr32[4]; } in6_u; };
struct sock_common {
	u32 skc_daddr, skc_rcv_saddr;
	u16 skc_dport, skc_num, skc_family;
	u8 skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};
struct sock {
	struct sock_common __sk_common;
	unsigned long sk_pacing_rate;		/* bytes per second */
	unsigned long sk_max_pacing_rate;
	u32 sk_pacing_status;
	u8 sk_pacing_shift;
};
struct inet_sock { struct sock sk; };
struct inet_connection_sock {
	struct inet_sock icsk_inet;
	u8 icsk_ca_state : 5;
	u8 icsk_retransmits;
	u64 icsk_ca_priv[13];
	struct { u8 pending; } icsk_ack;
};
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 snd_una, snd_nxt, rcv_nxt, write_seq;
	u32 snd_cwnd, snd_cwnd_cnt, snd_cwnd_clamp, snd_cwnd_used, snd_cwnd_stamp, snd_ssthresh, prior_cwnd, prior_ssthresh;
	u32 packets_out, retrans_out, lost_out, sacked_out, max_packets_out;
	u32 delivered, delivered_ce, lost, app_limited, total_retrans;
	u32 srtt_us;				/* smoothed RTT << 3, in us */
	u32 mdev_us, rttvar_us, mss_cache;
	u32 lsndtime;
	u64 tcp_mstamp, tcp_clock_cache, tcp_wstamp_ns, bytes_acked, bytes_sent;
	u8 ecn_flags;
	u8 is_cwnd_limited : 1;
};
struct ack_sample { u32 pkts_acked; s32 rtt_us; u32 in_flight; };
struct rate_sample {
	u64 prior_mstamp;
	u32 prior_delivered, prior_delivered_ce;
	s32 delivered, delivered_ce;
	long interval_us;
	u32 snd_interval_us, rcv_interval_us;
	long rtt_us;
	int losses;
	u32 acked_sacked, prior_in_flight, last_end_seq;
	bool is_app_limited, is_retrans, is_ack_delayed;
};
#pragma clang attribute pop

enum tcp_ca_event { CA_EVENT_TX_START, CA_EVENT_CWND_RESTART, CA_EVENT_COMPLETE_CWR, CA_EVENT_LOSS, CA_EVENT_ECN_NO_CE, CA_EVENT_ECN_IS_CE };
enum tcp_ca_state { TCP_CA_Open, TCP_CA_Disorder, TCP_CA_CWR, TCP_CA_Recovery, TCP_CA_Loss };
#define TCP_INFINITE_SSTHRESH 0x7fffffff
#define TCP_CONG_NEEDS_ECN 2
#define TCP_CONG_NON_RESTRICTED 1
#define SK_PACING_NEEDED 1
#define SK_PACING_FQ 2
#define SOL_TCP 6
#define TCP_CA_NAME_MAX 16

/* Filled in and registered under its name; what is not said stays as in the kernel's defaults. */
struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	void (*set_state)(struct sock *sk, u8 new_state);
	void (*cwnd_event)(struct sock *sk, enum tcp_ca_event ev);
	void (*in_ack_event)(struct sock *sk, u32 flags);
	void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
	u32 (*min_tso_segs)(struct sock *sk);
	void (*cong_control)();
	u32 (*undo_cwnd)(struct sock *sk);
	u32 (*sndbuf_expand)(struct sock *sk);
	char name[TCP_CA_NAME_MAX];
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
	u32 flags;
};

/* BPF helpers: include/uapi/linux/bpf.h has their numbers. */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_trace_printk)(const char *format, u32 size, ...) = (void *)6;
static u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_setsockopt)(void *sk, int level, int name, void *value, int length) = (void *)49;
static long (*const bpf_getsockopt)(void *sk, int level, int name, void *value, int length) = (void *)57;
static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value, u64 flags) = (void *)107;
static long (*const bpf_tcp_send_ack)(void *tp, u32 rcv_nxt) = (void *)116;
static u64 (*const bpf_jiffies64)(void) = (void *)118;
static void *(*const bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static long (*const bpf_loop)(u32 times, void *callback, void *context, u64 flags) = (void *)181;

/* The kernel's own functions that algorithms may call (kfuncs). */
extern u32 tcp_reno_ssthresh(struct sock *sk) __ksym;
extern void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked) __ksym;
extern u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;
extern u32 tcp_slow_start(struct tcp_sock *tp, u32 acked) __ksym;
extern void tcp_cong_avoid_ai(struct tcp_sock *tp, u32 w, u32 acked) __ksym;

static __always_inline struct tcp_sock *tcp_sk(const struct sock *sk) { return (struct tcp_sock *)sk; }
static __always_inline struct inet_connection_sock *inet_csk(const struct sock *sk) { return (struct inet_connection_sock *)sk; }
/* 104 bytes for each connection, zero when it begins: cast to a structure of your own. */
static __always_inline void *inet_csk_ca(const struct sock *sk) { return (void *)((struct inet_connection_sock *)sk)->icsk_ca_priv; }
static __always_inline bool tcp_in_slow_start(const struct tcp_sock *tp) { return tp->snd_cwnd < tp->snd_ssthresh; }
/* A bit-field: clang works out at load time which byte it is in, but not which bits, unless asked like this. */
#define LAB_BITS(p, field) ({									\
	const void *_at = (const void *)(p) + __builtin_preserve_field_info((p)->field, 0);	\
	u64 _bits;										\
	asm volatile("" : "+r"(_at));								\
	switch (__builtin_preserve_field_info((p)->field, 1)) {					\
	case 1: _bits = *(const u8 *)_at; break;						\
	case 2: _bits = *(const u16 *)_at; break;						\
	case 4: _bits = *(const u32 *)_at; break;						\
	default: _bits = *(const u64 *)_at;							\
	}											\
	_bits << __builtin_preserve_field_info((p)->field, 4) >> __builtin_preserve_field_info((p)->field, 5); })
static __always_inline u8 tcp_ca_state(const struct sock *sk) { return LAB_BITS(inet_csk(sk), icsk_ca_state); }
static __always_inline bool tcp_is_cwnd_limited(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	if (LAB_BITS(tp, is_cwnd_limited))
		return true;
	return tcp_in_slow_start(tp) && tp->snd_cwnd < 2 * tp->max_packets_out;
}
#define min(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a > _b ? _a : _b; })
#define barrier_var(v) asm volatile("" : "+r"(v))

/* ---- own variables as rows of the record ---- */
struct lab_trace_row {
	u64 ts_ns;
	s64 value;
	char name[16];
	u32 saddr[4], daddr[4];		/* IPv4 as ::ffff:a.b.c.d */
	u16 sport, dport;
	u32 unused;
};
struct { __uint(type, 27); __uint(max_entries, 4 << 20); } lab_trace_ring SEC(".maps");
struct { __uint(type, 2); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } lab_trace_lost SEC(".maps");

static __always_inline void lab_trace_(const struct sock *sk, const char *name, s64 value)
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
	__builtin_memcpy(row->name, name, 16);
	if (sk->__sk_common.skc_family == 10) {
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
	bpf_ringbuf_submit(row, 1 /* BPF_RB_NO_WAKEUP */);
}
/* NAME is a text in quotes of at most 15 characters; it costs two instructions, whatever its length. */
#define lab_trace(sk, name, value)								\
	do {											\
		_Static_assert(sizeof("" name) <= 16, "lab_trace: a name has at most 15 characters");	\
		lab_trace_(sk, name "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", value);			\
	} while (0)

/* ---- what makes an algorithm of functions ---- */
#define KERNEL_VERSION(a, b, c) ((a) << 16 | (b) << 8 | (c))
extern int LINUX_KERNEL_VERSION __kconfig;

/* Their names are the kernel's, so are their arguments: one that differs is an error where it is defined. */
static u32 ssthresh(struct sock *sk);
static void cong_avoid(struct sock *sk, u32 ack, u32 acked);
static void set_state(struct sock *sk, u8 new_state);
static void cwnd_event(struct sock *sk, enum tcp_ca_event event);
static void in_ack_event(struct sock *sk, u32 flags);
static void pkts_acked(struct sock *sk, const struct ack_sample *sample);
static u32 min_tso_segs(struct sock *sk);
static void cong_control(struct sock *sk, const struct rate_sample *rs);
static u32 undo_cwnd(struct sock *sk);
static u32 sndbuf_expand(struct sock *sk);
static void init(struct sock *sk);
static void release(struct sock *sk);

#define LAB_SK ((struct sock *)ctx[0])
#define LAB_PROG(op) SEC("struct_ops/" #op)
#define LAB_WRAP_ssthresh LAB_PROG(ssthresh) u32 lab_ssthresh(u64 *ctx) { return ssthresh(LAB_SK); }
#define LAB_WRAP_cong_avoid LAB_PROG(cong_avoid) void lab_cong_avoid(u64 *ctx) { cong_avoid(LAB_SK, ctx[1], ctx[2]); }
#define LAB_WRAP_set_state LAB_PROG(set_state) void lab_set_state(u64 *ctx) { set_state(LAB_SK, ctx[1]); }
#define LAB_WRAP_cwnd_event LAB_PROG(cwnd_event) void lab_cwnd_event(u64 *ctx) { cwnd_event(LAB_SK, ctx[1]); }
#define LAB_WRAP_in_ack_event LAB_PROG(in_ack_event) void lab_in_ack_event(u64 *ctx) { in_ack_event(LAB_SK, ctx[1]); }
#define LAB_WRAP_pkts_acked LAB_PROG(pkts_acked) void lab_pkts_acked(u64 *ctx) { pkts_acked(LAB_SK, (const struct ack_sample *)ctx[1]); }
#define LAB_WRAP_min_tso_segs LAB_PROG(min_tso_segs) u32 lab_min_tso_segs(u64 *ctx) { return min_tso_segs(LAB_SK); }
/*
 * Since 6.10 it is told of the ACK, too, in front of the sample.  In assembler, because the compiler would work out the
 * place first and read there once, which the verifier does not allow of its context; the branch not taken is not verified.
 */
#define LAB_WRAP_cong_control LAB_PROG(cong_control) void lab_cong_control(u64 *ctx)	\
{											\
	const struct rate_sample *rs;							\
											\
	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 10, 0))				\
		asm volatile("%0 = *(u64 *)(%1 + 24)" : "=r"(rs) : "r"(ctx));		\
	else										\
		asm volatile("%0 = *(u64 *)(%1 + 8)" : "=r"(rs) : "r"(ctx));		\
	cong_control(LAB_SK, rs);							\
}
#define LAB_WRAP_undo_cwnd LAB_PROG(undo_cwnd) u32 lab_undo_cwnd(u64 *ctx) { return undo_cwnd(LAB_SK); }
#define LAB_WRAP_sndbuf_expand LAB_PROG(sndbuf_expand) u32 lab_sndbuf_expand(u64 *ctx) { return sndbuf_expand(LAB_SK); }
#define LAB_WRAP_init LAB_PROG(init) void lab_init(u64 *ctx) { init(LAB_SK); }
#define LAB_WRAP_release LAB_PROG(release) void lab_release(u64 *ctx) { release(LAB_SK); }

#define LAB_IS_ssthresh 1
#define LAB_IS_cong_avoid 2
#define LAB_IS_undo_cwnd 4
#define LAB_IS_cong_control 8
#define LAB_IS_set_state 0
#define LAB_IS_cwnd_event 0
#define LAB_IS_in_ack_event 0
#define LAB_IS_pkts_acked 0
#define LAB_IS_min_tso_segs 0
#define LAB_IS_sndbuf_expand 0
#define LAB_IS_init 0
#define LAB_IS_release 0

#define LAB_W(op) LAB_WRAP_##op
#define LAB_F(op) .op = (void *)lab_##op,
#define LAB_B(op) LAB_IS_##op |
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
#define LAB_NTH(a, b, c, d, e, f, g, h, i, j, k, l, n, ...) n
#define LAB_CAT(a, b) a##b
#define LAB_EACH_(n, m, ...) LAB_CAT(LAB_EACH_, n)(m, __VA_ARGS__)
#define LAB_EACH(m, ...) LAB_EACH_(LAB_NTH(__VA_ARGS__, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1), m, __VA_ARGS__)

/* The last line of the file: LAB_CC("my_name", ssthresh, cong_avoid, undo_cwnd); */
#ifndef LAB_CC_FLAGS
#define LAB_CC_FLAGS 0
#endif
/* With -DLAB_CC_NAME="other", the algorithm has that name in place of its own. */
#ifdef LAB_CC_NAME
#define LAB_CC(cc, ...) LAB_CC_(LAB_CC_NAME, __VA_ARGS__)
#else
#define LAB_CC(cc, ...) LAB_CC_(cc, __VA_ARGS__)
#endif
#define LAB_CC_(cc, ...)								\
	_Static_assert(sizeof(cc) > 1 && sizeof(cc) <= TCP_CA_NAME_MAX,				\
		       "LAB_CC: a name has 1 to 15 characters");				\
	_Static_assert((LAB_EACH(LAB_B, __VA_ARGS__) 0) & LAB_IS_ssthresh, "LAB_CC: ssthresh is missing");	\
	_Static_assert((LAB_EACH(LAB_B, __VA_ARGS__) 0) & LAB_IS_undo_cwnd, "LAB_CC: undo_cwnd is missing");	\
	_Static_assert((LAB_EACH(LAB_B, __VA_ARGS__) 0) & (LAB_IS_cong_avoid | LAB_IS_cong_control),		\
		       "LAB_CC: cong_avoid or cong_control is missing");			\
	LAB_EACH(LAB_W, __VA_ARGS__)								\
	SEC(".struct_ops") struct tcp_congestion_ops lab_cc = { LAB_EACH(LAB_F, __VA_ARGS__) .name = cc, .flags = LAB_CC_FLAGS };	\
	char lab_license[] SEC("license") = "GPL"

#endif
