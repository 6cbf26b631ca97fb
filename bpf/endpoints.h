/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The two ends of a connection, read from a socket or a packet, and the filter that selects connections by them. */
#ifndef LAB_ENDPOINTS_H
#define LAB_ENDPOINTS_H

#include "kernel.h"

struct endpoints {
	u64 saddr[2];		/* an IPv4 address is stored as ::ffff:a.b.c.d */
	u64 daddr[2];
	u32 netns;
	u16 sport;		/* host order */
	u16 dport;
	u16 family;		/* of the addresses: AF_INET or AF_INET6 */
};

/* Selects the connections that a collector records.  Each collector has one filter, which the agent writes. */
struct filter {
	u64 either[2];		/* an address that one of the ends must have */
	u64 local[2];		/* an address that the local end (of a packet: the source) must have */
	u64 remote[2];		/* an address that the remote end (of a packet: the destination) must have */
	u16 port_low;		/* a port from port_low to port_high must be at one of the ends chosen below */
	u16 port_high;
	u16 ports_local;	/* 1: the local end may have it */
	u16 ports_remote;	/* 1: the remote end may have it */
	u16 has_either;		/* 1: `either` is set; the next two are the same for `local` and `remote` */
	u16 has_local;
	u16 has_remote;
	u16 unused;
};

/* Writes an IPv4 address as an IPv4-mapped IPv6 address. */
static __always_inline void map_ipv4(u64 *to, u32 address)
{
	to[0] = 0;
	to[1] = (u64)address << 32 | 0xffff0000;
}

static __always_inline int is_ipv4_mapped(const u64 *address)
{
	return !address[0] && (u32)address[1] == 0xffff0000;
}

/*
 * Sets the family of two addresses that were read from an IPv6 socket.  Such a socket may carry IPv4 (RFC 3493, section
 * 3.7), and then its addresses are IPv4-mapped, but for one that is not known yet or no longer.
 */
static __always_inline void set_family(struct endpoints *ends)
{
	ends->family = AF_INET6;
	if (!is_ipv4_mapped(ends->saddr) && !is_ipv4_mapped(ends->daddr))
		return;
	ends->family = AF_INET;
	if (!ends->saddr[0] && !ends->saddr[1])
		map_ipv4(ends->saddr, 0);
	if (!ends->daddr[0] && !ends->daddr[1])
		map_ipv4(ends->daddr, 0);
}

/*
 * A closing socket has already cleared skc_num (__inet_put_port(), net/ipv4/inet_hashtables.c) but not inet_sport.
 * Sockets in TIME_WAIT or NEW_SYN_RECV have smaller structures, which contain skc_num only.
 */
static __always_inline u16 read_local_port(const void *sk)
{
	u8 state = READ(u8, sk, sock_common, skc_state);

	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV)
		return READ(u16, sk, sock_common, skc_num);
	return bpf_ntohs(READ(u16, sk, inet_sock, inet_sport));
}

static __always_inline void read_socket_endpoints(const void *sk, struct endpoints *ends)
{
	ends->family = READ(u16, sk, sock_common, skc_family);
	ends->sport = read_local_port(sk);
	ends->dport = bpf_ntohs(READ(u16, sk, sock_common, skc_dport));
	ends->netns = number_of_netns(READ(void *, sk, sock_common, skc_net));
	if (ends->family == AF_INET6) {
		read_kernel(ends->saddr, 16, sk + OFFSET(sock_common, skc_v6_rcv_saddr));
		read_kernel(ends->daddr, 16, sk + OFFSET(sock_common, skc_v6_daddr));
		set_family(ends);
	} else {
		map_ipv4(ends->saddr, READ(u32, sk, sock_common, skc_rcv_saddr));
		map_ipv4(ends->daddr, READ(u32, sk, sock_common, skc_daddr));
	}
}

/* Does the same as read_socket_endpoints(), faster, for the result of to_tcp_sock(). */
static __always_inline void load_tcp_endpoints(const void *sk, struct endpoints *ends)
{
	ends->family = LOAD(u16, sk, sock_common, skc_family);
	ends->sport = bpf_ntohs(LOAD(u16, sk, inet_sock, inet_sport));
	ends->dport = bpf_ntohs(LOAD(u16, sk, sock_common, skc_dport));
	ends->netns = number_of_netns(LOAD(void *, sk, sock_common, skc_net));
	if (ends->family == AF_INET6) {
		ends->saddr[0] = LOAD_AT(u64, sk, OFFSET(sock_common, skc_v6_rcv_saddr));
		ends->saddr[1] = LOAD_AT(u64, sk, OFFSET(sock_common, skc_v6_rcv_saddr) + 8);
		ends->daddr[0] = LOAD_AT(u64, sk, OFFSET(sock_common, skc_v6_daddr));
		ends->daddr[1] = LOAD_AT(u64, sk, OFFSET(sock_common, skc_v6_daddr) + 8);
		set_family(ends);
	} else {
		map_ipv4(ends->saddr, LOAD(u32, sk, sock_common, skc_rcv_saddr));
		map_ipv4(ends->daddr, LOAD(u32, sk, sock_common, skc_daddr));
	}
}

static __always_inline int is_port_wanted(const struct filter *filter, u16 sport, u16 dport)
{
	return (filter->ports_local && sport >= filter->port_low && sport <= filter->port_high) ||
	       (filter->ports_remote && dport >= filter->port_low && dport <= filter->port_high);
}

static __always_inline int is_same_address(const u64 *a, const u64 *b)
{
	return a[0] == b[0] && a[1] == b[1];
}

static __always_inline int is_wanted(const struct filter *filter, const struct endpoints *ends)
{
	if (!is_port_wanted(filter, ends->sport, ends->dport))
		return 0;
	if (filter->has_local && !is_same_address(filter->local, ends->saddr))
		return 0;
	if (filter->has_remote && !is_same_address(filter->remote, ends->daddr))
		return 0;
	if (filter->has_either && !is_same_address(filter->either, ends->saddr) &&
	    !is_same_address(filter->either, ends->daddr))
		return 0;
	return 1;
}

/* Sets the fields that all events about connections have in common. */
#define SET_ENDPOINTS(event, ends) do {						\
	__builtin_memcpy((event)->saddr, (ends)->saddr, 16);			\
	__builtin_memcpy((event)->daddr, (ends)->daddr, 16);			\
	(event)->sport = (ends)->sport;						\
	(event)->dport = (ends)->dport;						\
	(event)->family = (ends)->family;					\
	(event)->netns = (ends)->netns;						\
} while (0)

#endif
