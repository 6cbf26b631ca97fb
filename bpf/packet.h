/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Read the headers of a packet, without relying on the packet to be complete. */
#ifndef LAB_PACKET_H
#define LAB_PACKET_H

#include "endpoints.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IP_IS_FRAGMENT_MASK 0x1fff

struct segment {
	struct endpoints ends;
	u64 transport;		/* address of the TCP or UDP header; 0 if there is none */
	u32 seq;
	u32 ack;
	u32 length;		/* payload, bytes */
	u16 window;		/* as in the header, without window scaling */
	u8 flags;		/* FIN SYN RST PSH ACK URG ECE CWR, from bit 0 */
	u8 protocol;
	u8 ecn;			/* ECN field of the IP header: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE */
};

struct ipv4_header { u8 version_length, tos; u16 total, id, fragment; u8 ttl, protocol; u16 check; u32 saddr, daddr; };
struct ipv6_header { u32 first; u16 payload; u8 next, hops; u64 saddr[2], daddr[2]; };
struct tcp_header { u16 sport, dport; u32 seq, ack; u8 offset, flags; u16 window; };

_Static_assert(sizeof(struct ipv4_header) == 20, "IPv4 header");
_Static_assert(sizeof(struct ipv6_header) == 40, "IPv6 header");
_Static_assert(sizeof(struct tcp_header) == 16, "start of a TCP header");

/*
 * Reads the IP header of a packet and, if the packet is TCP or UDP, the transport header.  Returns 0 if the packet is
 * neither IPv4 nor IPv6.  IPv6 extension headers are not parsed.
 */
static __always_inline int read_packet(const void *skb, struct segment *segment)
{
	u64 head = READ(u64, skb, sk_buff, head);
	u64 network = head + READ(u16, skb, sk_buff, network_header);
	u16 protocol = bpf_ntohs(READ(u16, skb, sk_buff, protocol));
	u64 transport;
	u32 length;
	struct tcp_header tcp = {};

	if (protocol == ETH_P_IP) {
		struct ipv4_header ip = {};

		read_kernel(&ip, sizeof(ip), (void *)network);
		if (ip.version_length >> 4 != 4)
			return 0;
		segment->ends.family = AF_INET;
		segment->protocol = ip.protocol;
		segment->ecn = ip.tos & 3;
		map_ipv4(segment->ends.saddr, ip.saddr);
		map_ipv4(segment->ends.daddr, ip.daddr);
		length = bpf_ntohs(ip.total) - (ip.version_length & 15) * 4;
		transport = network + (ip.version_length & 15) * 4;
		if (bpf_ntohs(ip.fragment) & IP_IS_FRAGMENT_MASK)
			return 1;	/* a fragment other than the first has no transport header */
	} else if (protocol == ETH_P_IPV6) {
		struct ipv6_header ip = {};

		read_kernel(&ip, sizeof(ip), (void *)network);
		segment->ends.family = AF_INET6;
		segment->protocol = ip.next;
		segment->ecn = bpf_ntohl(ip.first) >> 20 & 3;
		segment->ends.saddr[0] = ip.saddr[0];
		segment->ends.saddr[1] = ip.saddr[1];
		segment->ends.daddr[0] = ip.daddr[0];
		segment->ends.daddr[1] = ip.daddr[1];
		length = bpf_ntohs(ip.payload);
		transport = network + sizeof(ip);
	} else {
		return 0;
	}
	if (segment->protocol == IPPROTO_UDP || segment->protocol == IPPROTO_TCP)
		segment->transport = transport;
	if (segment->protocol == IPPROTO_UDP) {
		u16 udp[4] = {};	/* ports, length, checksum */

		read_kernel(udp, sizeof(udp), (void *)transport);
		segment->ends.sport = bpf_ntohs(udp[0]);
		segment->ends.dport = bpf_ntohs(udp[1]);
		segment->length = length - sizeof(udp);
		return 1;
	}
	if (segment->protocol != IPPROTO_TCP)
		return 1;
	read_kernel(&tcp, sizeof(tcp), (void *)transport);
	segment->ends.sport = bpf_ntohs(tcp.sport);
	segment->ends.dport = bpf_ntohs(tcp.dport);
	segment->seq = bpf_ntohl(tcp.seq);
	segment->ack = bpf_ntohl(tcp.ack);
	segment->window = bpf_ntohs(tcp.window);
	segment->flags = tcp.flags;
	segment->length = length - (tcp.offset >> 4) * 4;
	return 1;
}

/* Returns the index of the packet's interface and sets `netns`; without an interface, returns 0 and leaves `netns`. */
static __always_inline u32 read_interface(const void *skb, u32 *netns)
{
	const void *device = READ(void *, skb, sk_buff, dev);

	if (!device)
		return 0;
	*netns = number_of_netns(READ(void *, device, net_device, nd_net));
	return READ(u32, device, net_device, ifindex);
}

#endif
