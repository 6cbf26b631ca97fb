/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Macros for reading the kernel's structures without the kernel's headers.
 *
 * For each pair of a structure s and a field f that a collector names in the READ and LOAD macros, OFFSET or HAVE, the
 * loader defines KERNEL_HAVE_s__f (whether the field exists), KERNEL_OFFSET_s__f and KERNEL_BYTES_s__f (in bytes) and,
 * for bit fields, KERNEL_SHIFT_s__f and KERNEL_BITS_s__f.  The values come from the running kernel's type information
 * (BTF, see lab/agent/collectors/btf.py).  Naming a field that does not exist is an error unless HAVE tests for it.
 */
#ifndef LAB_KERNEL_H
#define LAB_KERNEL_H

#define HAVE(structure, field) KERNEL_HAVE_##structure##__##field
#define OFFSET(structure, field) KERNEL_OFFSET_##structure##__##field

/* The number of arguments of a tracepoint in this kernel: newer kernels have added arguments to some tracepoints. */
#define ARGUMENTS(tracepoint) KERNEL_ARGUMENTS_##tracepoint

/*
 * The helper bpf_probe_read_kernel() by its number (BPF_FUNC_probe_read_kernel, include/uapi/linux/bpf.h).  bcc replaces
 * the helper's name by an older helper if it does not find the kernel's function in /proc/kallsyms, and it does not
 * find it in User-mode Linux, whose kernel is at low addresses.
 */
static long (*read_kernel)(void *to, u32 size, const void *from) = (void *)113;

#define READ_AT(type, address) ({						\
	type value_;								\
	read_kernel(&value_, sizeof(value_), (const void *)(address));	\
	value_;									\
})

#define READ(type, from, structure, field) ({					\
	_Static_assert(sizeof(type) == KERNEL_BYTES_##structure##__##field,	\
		       #structure "." #field " has another size");		\
	READ_AT(type, (const void *)(from) + OFFSET(structure, field));		\
})

#define READ_BITS(from, structure, field) ({					\
	u32 word_ = READ_AT(u32, (const void *)(from) + OFFSET(structure, field)); \
	word_ >> KERNEL_SHIFT_##structure##__##field & ((1u << KERNEL_BITS_##structure##__##field) - 1); \
})

/*
 * LOAD, LOAD_BITS and LOAD_AT do the same as READ, READ_BITS and READ_AT with one instruction instead of a call, which
 * takes some hundred.  They need a pointer whose type the verifier knows: an argument of a tracepoint or of a function,
 * or the result of to_tcp_sock().  If the address turns out to be invalid, the result is 0, as with READ.
 *
 * The load is written in assembly because bcc would replace a dereference by a call, and because the compiler could
 * combine two dereferences into an access that the verifier does not allow.
 */
#define LOAD_AT(type, from, offset) ({						\
	u64 value_;								\
	if (sizeof(type) == 8)							\
		LOAD_INTO(value_, "u64", from, offset);				\
	else if (sizeof(type) == 4)						\
		LOAD_INTO(value_, "u32", from, offset);				\
	else if (sizeof(type) == 2)						\
		LOAD_INTO(value_, "u16", from, offset);				\
	else									\
		LOAD_INTO(value_, "u8", from, offset);				\
	(type)value_;								\
})

#define LOAD_INTO(value, width, from, offset) \
	asm volatile("%0 = *(" width " *)(%1 + %2)" : "=r"(value) : "r"(from), "i"(offset))

/* Field of a structure that begins `start` bytes after `from`. */
#define LOAD_WITHIN(type, from, start, structure, field) ({			\
	_Static_assert(sizeof(type) == KERNEL_BYTES_##structure##__##field,	\
		       #structure "." #field " has another size");		\
	LOAD_AT(type, from, (start) + OFFSET(structure, field));		\
})

#define LOAD_BITS_WITHIN(from, start, structure, field) \
	(LOAD_AT(u32, from, (start) + OFFSET(structure, field)) >> KERNEL_SHIFT_##structure##__##field & \
	 ((1u << KERNEL_BITS_##structure##__##field) - 1))

#define LOAD(type, from, structure, field) LOAD_WITHIN(type, from, 0, structure, field)
#define LOAD_BITS(from, structure, field) LOAD_BITS_WITHIN(from, 0, structure, field)

/* bpf_skc_to_tcp_sock(): turns a struct sock into a struct tcp_sock, for the verifier as well; NULL if it is none. */
static const void *(*to_tcp_sock)(const void *sk) = (const void *)137;

/* Results of a tc classifier in direct-action mode (include/uapi/linux/pkt_cls.h); UNSPEC: the next filter decides. */
#define TC_ACT_UNSPEC (-1)
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2

#define AF_INET 2
#define AF_INET6 10

enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE,
       TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_LISTEN, TCP_CLOSING, TCP_NEW_SYN_RECV };

#define SOCK_DONE 1	/* enum sock_flags, include/net/sock.h: the FIN of the other end has arrived */

enum { TCP_CA_OPEN, TCP_CA_DISORDER, TCP_CA_CWR, TCP_CA_RECOVERY, TCP_CA_LOSS };

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

#define UDP_HEADER_BYTES 8

/* Counts an event that found no room in a ring buffer; `lost` is the result of a lookup in a *_lost array. */
static __always_inline void count_lost(u64 *lost)
{
	if (lost)
		__sync_fetch_and_add(lost, 1);
}

/* The number of a network namespace, as in /proc/PID/ns/net.  It identifies the node of a topology. */
static __always_inline u32 number_of_netns(const void *net)
{
	return READ_AT(u32, net + OFFSET(net, ns) + OFFSET(ns_common, inum));
}

#endif
