// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Which flow of the experiment a packet belongs to, and whether it carries the flow's data or iperf3's control traffic.
 *
 * A flow is known by its server's port, which no other flow of the topology has.  Its data connections are told from
 * iperf3's control connection by the client's ports, which the agent chooses (iperf3 --cport).
 */
#define FLOWS_MAX 1024
#define FLOWS_CONNECTIONS 16384
#define FLOWS_COOKIE_BYTES 37	/* what iperf3's client sends first on each connection (COOKIE_SIZE, iperf_api.h) */

struct flows_declared {
	u64 start_ns;		/* when data may be sent, on CLOCK_MONOTONIC; 0: at any time */
	u64 end_ns;		/* when the flow's declared duration ends */
	u64 measured_start_ns;	/* the measured window, within the declared duration */
	u64 measured_end_ns;
	u32 flow;		/* number of the flow in the job */
	u16 data_port_low;	/* the client's ports of data connections; 0: all connections carry data */
	u16 data_port_high;
	u8 is_reverse;		/* 1: the server sends the data */
	u8 waits_for_data;	/* 1: the client ends the test only when all its data have been acknowledged */
	u8 unused[6];
};

/* A connection in one direction, found by the ports of its packets. */
struct flows_ports {
	u16 sport;
	u16 dport;
	u32 protocol;
};

struct flows_connection {
	u64 received_bytes;	/* what the receiver's TCP had delivered in order when it was last seen */
	u64 arrived_ns;		/* when the last segment arrived */
	u64 start_ns;		/* of the flow, as declared; so are the next three fields */
	u64 end_ns;
	u64 measured_start_ns;
	u64 measured_end_ns;
	u32 flow;
	u32 first_seq;		/* sequence number of the first byte of payload */
	u32 sent_up_to;		/* end of the highest sequence number that has been sent */
	u8 is_backward;		/* 1: from the receiver of the data to their sender */
	u8 has_cookie;		/* 1: the first FLOWS_COOKIE_BYTES are none of the flow's data */
	u8 has_sent;		/* 1: sent_up_to is set */
	u8 is_cut;		/* 1: the measured window is only a part of the declared duration */
};

BPF_TABLE("hash", u32, struct flows_declared, flows_by_port, FLOWS_MAX);
BPF_TABLE("lru_hash", struct flows_ports, struct flows_connection, flows_connections, FLOWS_CONNECTIONS);

/* What the programs need to know of a packet's headers. */
struct flows_packet {
	struct flows_ports ports;
	u32 seq;
	u32 length;		/* payload, bytes */
	u32 payload_at;		/* offset of the payload from the Ethernet header; set at interfaces only */
	u8 flags;		/* of TCP */
	u8 ecn;			/* ECN field of the IP header */
};

#define TCP_FLAG_SYN 2
#define ECN_CE 3
#define ETHERNET_BYTES 14

/*
 * The next four functions take from a header what the programs need.  Those for IP return the size of the header, or 0
 * for a fragment, and set `length` to that of what follows; those for the transport get this length.
 */
static __always_inline u32 flows_take_ipv4(struct flows_packet *packet, const struct ipv4_header *ip, u32 *length)
{
	u32 header = (ip->version_length & 15) * 4;

	if (bpf_ntohs(ip->fragment) & IP_IS_FRAGMENT_MASK)
		return 0;
	packet->ports.protocol = ip->protocol;
	packet->ecn = ip->tos & 3;
	*length = bpf_ntohs(ip->total) - header;
	return header;
}

/* Without the addresses, which are not read. */
struct flows_ipv6 { u32 first; u16 payload; u8 next, hops; };

static __always_inline u32 flows_take_ipv6(struct flows_packet *packet, const struct flows_ipv6 *ip, u32 *length)
{
	packet->ports.protocol = ip->next;
	packet->ecn = bpf_ntohl(ip->first) >> 20 & 3;
	*length = bpf_ntohs(ip->payload);
	return sizeof(struct ipv6_header);
}

static __always_inline void flows_take_tcp(struct flows_packet *packet, const struct tcp_header *tcp, u32 length)
{
	packet->ports.sport = bpf_ntohs(tcp->sport);
	packet->ports.dport = bpf_ntohs(tcp->dport);
	packet->seq = bpf_ntohl(tcp->seq);
	packet->flags = tcp->flags;
	packet->length = length - (tcp->offset >> 4) * 4;
}

static __always_inline void flows_take_udp(struct flows_packet *packet, u16 sport, u16 dport, u32 length)
{
	packet->ports.sport = bpf_ntohs(sport);
	packet->ports.dport = bpf_ntohs(dport);
	packet->flags = 0;
	packet->length = length - UDP_HEADER_BYTES;
}

/* Reads the headers of a packet at a tc hook.  Returns 0 if the packet is neither TCP nor UDP, or is a fragment. */
static __always_inline int flows_read(struct __sk_buff *skb, struct flows_packet *packet)
{
	u32 transport, header, length;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct ipv4_header ip;

		if (bpf_skb_load_bytes(skb, ETHERNET_BYTES, &ip, sizeof(ip)) < 0)
			return 0;
		header = flows_take_ipv4(packet, &ip, &length);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct flows_ipv6 ip;

		if (bpf_skb_load_bytes(skb, ETHERNET_BYTES, &ip, sizeof(ip)) < 0)
			return 0;
		header = flows_take_ipv6(packet, &ip, &length);
	} else {
		return 0;
	}
	if (!header)
		return 0;
	transport = ETHERNET_BYTES + header;
	if (packet->ports.protocol == IPPROTO_TCP) {
		struct tcp_header tcp;

		if (bpf_skb_load_bytes(skb, transport, &tcp, sizeof(tcp)) < 0)
			return 0;
		flows_take_tcp(packet, &tcp, length);
		packet->payload_at = transport + (tcp.offset >> 4) * 4;
		return 1;
	}
	if (packet->ports.protocol == IPPROTO_UDP) {
		u16 ports[2];

		if (bpf_skb_load_bytes(skb, transport, ports, sizeof(ports)) < 0)
			return 0;
		flows_take_udp(packet, ports[0], ports[1], length);
		packet->payload_at = transport + UDP_HEADER_BYTES;
		return 1;
	}
	return 0;
}

static __always_inline int flows_is_measured(const struct flows_connection *connection, u64 now)
{
	return now >= connection->measured_start_ns && now < connection->measured_end_ns;
}

/* Finds the flow whose server has one of the packet's ports. */
static __always_inline struct flows_declared *flows_find(const struct flows_packet *packet, int *is_from_server)
{
	u32 port = packet->ports.dport;
	struct flows_declared *declared = flows_by_port.lookup(&port);

	*is_from_server = 0;
	if (declared)
		return declared;
	port = packet->ports.sport;
	*is_from_server = 1;
	return flows_by_port.lookup(&port);
}

/* Whether a packet of a flow is iperf3's own: one of its control connection, or the greeting of a UDP client. */
static __always_inline int flows_is_control(const struct flows_declared *declared, const struct flows_packet *packet,
					    int is_from_server)
{
	u16 client = is_from_server ? packet->ports.dport : packet->ports.sport;

	if (!declared->data_port_low)
		return 0;
	if (packet->ports.protocol == IPPROTO_UDP)
		return packet->length == 4;	/* UDP_CONNECT_MSG and UDP_CONNECT_REPLY of iperf3 */
	return client < declared->data_port_low || client > declared->data_port_high;
}

/* Finds the connection of a packet that carries data or acknowledges them; NULL if it belongs to no flow. */
static __always_inline struct flows_connection *flows_connection_of(struct flows_packet *packet)
{
	struct flows_connection *known = flows_connections.lookup(&packet->ports);
	struct flows_connection new = {};
	struct flows_declared *declared;
	int is_from_server;

	if (known) {
		if (packet->flags & TCP_FLAG_SYN) {
			/* The ports may be those of an earlier connection. */
			known->first_seq = packet->seq + 1;
			known->has_sent = 0;
			known->received_bytes = known->has_cookie ? FLOWS_COOKIE_BYTES : 0;
		}
		if (packet->ports.protocol == IPPROTO_TCP || packet->length != 4)
			return known;
	}
	declared = flows_find(packet, &is_from_server);
	if (!declared || flows_is_control(declared, packet, is_from_server))
		return 0;
	new.flow = declared->flow;
	new.start_ns = declared->start_ns;
	new.end_ns = declared->end_ns;
	new.measured_start_ns = declared->measured_start_ns;
	new.measured_end_ns = declared->measured_end_ns;
	new.is_cut = new.measured_start_ns != new.start_ns || new.measured_end_ns != new.end_ns;
	new.is_backward = is_from_server != declared->is_reverse;
	new.has_cookie = declared->data_port_low && packet->ports.protocol == IPPROTO_TCP && !is_from_server;
	new.first_seq = packet->seq + 1;
	new.received_bytes = new.has_cookie ? FLOWS_COOKIE_BYTES : 0;
	flows_connections.update(&packet->ports, &new);
	return flows_connections.lookup(&packet->ports);
}
