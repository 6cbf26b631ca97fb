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
 * here.  No header of the kernel or of libbpf is included: where the fields of a structure lie is worked out when the
 * program is loaded (CO-RE), so the same object runs on all of lab's kernels.
 *
 * The header has three parts: types (lab_cc_types.h), functions to call (lab_cc_calls.h), and, here, the functions that
 * the kernel calls.
 */
#ifndef LAB_CC_H
#define LAB_CC_H

#include "lab_cc_types.h"
#include "lab_cc_calls.h"

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
