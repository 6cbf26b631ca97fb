// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Count what each flow sends and what arrives of it, in total and in bins of time.
 *
 * Packets are counted where they leave a host (egress of its interfaces) and where they reach the receiving host's
 * transport protocol, behind all delays and losses of the path.  Counters are in maps; one event is written for each
 * bin in which a flow had packets, not for each packet.
 */
#define ACCOUNTS_SEEN_FLOWS 256
#define ACCOUNTS_SEEN_BITS 13
#define ACCOUNTS_IPERF3_UDP_ID 8	/* offset of the packet's number in the payload of iperf3's datagrams */
#define ACCOUNTS_IPERF3_UDP_BYTES 12	/* length of the payload's header: two words of time and the number */

/* Where packets are counted.  Backward: the acknowledgements of the flow's data. */
enum { ACCOUNTS_SENT, ACCOUNTS_ARRIVED, ACCOUNTS_SENT_BACKWARD, ACCOUNTS_ARRIVED_BACKWARD, ACCOUNTS_DELIVERED,
       ACCOUNTS_SIDES };

struct accounts_total {
	u64 packets;
	u64 bytes;		/* of payload; so are all bytes but frame_bytes */
	u64 again_packets;	/* sent: retransmissions; arrived: further copies */
	u64 again_bytes;
	u64 ce_packets;		/* with the mark Congestion Experienced */
	u64 first_ns;		/* the first packet with payload; 0: none */
	u64 last_ns;
	u64 first_bytes;	/* payload of the first packet */
};

struct accounts_side {
	struct accounts_total all;
	struct accounts_total declared;	/* only what happened within the flow's declared duration */
	struct accounts_total measured;	/* within its measured window; empty if that is the declared duration */
	u64 frame_bytes;	/* as tc counts them; only where packets leave */
	u64 bin_end_ns;
	u32 bin_packets;
	u32 bin_bytes;
	u32 bin_again_packets;
	u32 bin_again_bytes;
	u32 bin_ce_packets;
	u32 unused;
};

struct accounts_config {
	u64 start_ns;		/* of the first bin */
	u64 bin_ns;
};

BPF_ARRAY(accounts_config, struct accounts_config, 1);
BPF_ARRAY(accounts_lost, u64, 1);
BPF_ARRAY(accounts_sides, struct accounts_side, FLOWS_MAX * ACCOUNTS_SIDES);
BPF_ARRAY(accounts_seen, u64, ACCOUNTS_SEEN_FLOWS << ACCOUNTS_SEEN_BITS);
BPF_RINGBUF_OUTPUT(accounts_events, ACCOUNTS_RING_PAGES);

/* The end of the bin that contains a time; one bin holds everything before the start. */
static __always_inline u64 accounts_bin_end(const struct accounts_config *config, u64 now)
{
	if (now < config->start_ns)
		return config->start_ns;
	return config->start_ns + ((now - config->start_ns) / config->bin_ns + 1) * config->bin_ns;
}

/* Ends the bin of a side, and begins the one that contains `now`. */
static __always_inline void accounts_next_bin(struct accounts_side *side, u32 number, u64 now)
{
	u32 zero = 0;
	struct accounts_config *config = accounts_config.lookup(&zero);
	struct accounts_event *event;

	if (!config || !config->bin_ns)
		return;
	if (side->bin_packets || side->bin_bytes) {
		event = accounts_events.ringbuf_reserve(sizeof(struct accounts_event));
		if (event) {
			event->ts_ns = side->bin_end_ns - config->bin_ns;
			event->flow = number / ACCOUNTS_SIDES;
			event->side = number % ACCOUNTS_SIDES;
			event->packets = side->bin_packets;
			event->bytes = side->bin_bytes;
			event->again_packets = side->bin_again_packets;
			event->again_bytes = side->bin_again_bytes;
			event->ce_packets = side->bin_ce_packets;
			event->unused = 0;
			accounts_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
		} else {
			count_lost(accounts_lost.lookup(&zero));
		}
	}
	side->bin_packets = 0;
	side->bin_bytes = 0;
	side->bin_again_packets = 0;
	side->bin_again_bytes = 0;
	side->bin_ce_packets = 0;
	side->bin_end_ns = accounts_bin_end(config, now);
}

struct accounts_amount {
	u32 packets;
	u32 bytes;
	u32 again_packets;
	u32 again_bytes;
	u32 ce_packets;
	u32 frame_bytes;
};

static __always_inline void accounts_add_to(struct accounts_total *total, u64 now, const struct accounts_amount *amount)
{
	total->packets += amount->packets;
	total->bytes += amount->bytes;
	total->again_packets += amount->again_packets;
	total->again_bytes += amount->again_bytes;
	total->ce_packets += amount->ce_packets;
	if (amount->bytes) {
		if (!total->first_ns) {
			total->first_ns = now;
			total->first_bytes = amount->bytes;
		}
		total->last_ns = now;
	}
}

static __always_inline void accounts_add(const struct flows_connection *connection, u32 side_number, u64 now,
					 const struct accounts_amount *amount)
{
	u32 number = connection->flow * ACCOUNTS_SIDES + side_number;
	struct accounts_side *side = accounts_sides.lookup(&number);

	if (!side)
		return;
	if (now >= side->bin_end_ns)
		accounts_next_bin(side, number, now);
	accounts_add_to(&side->all, now, amount);
	if (now >= connection->start_ns && now < connection->end_ns)
		accounts_add_to(&side->declared, now, amount);
	if (connection->is_cut && flows_is_measured(connection, now))
		accounts_add_to(&side->measured, now, amount);
	side->frame_bytes += amount->frame_bytes;
	side->bin_packets += amount->packets;
	side->bin_bytes += amount->bytes;
	side->bin_again_packets += amount->again_packets;
	side->bin_again_bytes += amount->again_bytes;
	side->bin_ce_packets += amount->ce_packets;
}

/* How many bytes of a segment are below the highest sequence number so far, which is then moved. */
static __always_inline u32 accounts_overlap(const struct flows_packet *packet, u32 *up_to, u8 *has_any)
{
	u32 end = packet->seq + packet->length;
	u32 below = *up_to - packet->seq;

	if (!*has_any) {
		*has_any = 1;
		*up_to = end;
		return 0;
	}
	if ((s32)(end - *up_to) > 0)
		*up_to = end;
	if ((s32)below <= 0)
		return 0;
	return below < packet->length ? below : packet->length;
}

/*
 * Whether a packet with this number has arrived before.  The latest numbers of each flow are remembered, together with
 * the flow's start, so that what an earlier trial has left in the table does not matter.
 */
static __always_inline int accounts_has_seen(const struct flows_connection *connection, u32 number)
{
	u32 place = connection->flow << ACCOUNTS_SEEN_BITS | number * 2654435761u >> (32 - ACCOUNTS_SEEN_BITS);
	u64 key = connection->start_ns << 32 | number, *seen;

	if (connection->flow >= ACCOUNTS_SEEN_FLOWS)
		return 0;
	seen = accounts_seen.lookup(&place);
	if (!seen)
		return 0;
	if (*seen == key)
		return 1;
	*seen = key;
	return 0;
}

/* What iperf3's client sends first on a connection is none of the flow's data. */
static __always_inline int accounts_is_cookie(const struct flows_connection *connection,
					      const struct flows_packet *packet)
{
	return connection->has_cookie && packet->seq == connection->first_seq &&
	       packet->length == FLOWS_COOKIE_BYTES;
}

/* At the egress of a host's own interfaces. */
int accounts_leave(struct __sk_buff *skb)
{
	struct flows_packet packet = {};
	struct flows_connection *connection;
	struct accounts_amount amount = {};
	u64 now = bpf_ktime_get_ns();
	u32 id;

	if (!flows_read(skb, &packet))
		return TC_ACT_UNSPEC;
	connection = flows_connection_of(&packet);
	if (!connection || (connection->is_backward && packet.length))
		return control_divert(skb, &packet);
	amount.packets = skb->gso_segs ? skb->gso_segs : 1;
	amount.frame_bytes = skb->wire_len;
	amount.ce_packets = packet.ecn == ECN_CE ? amount.packets : 0;
	if (packet.length && !accounts_is_cookie(connection, &packet)) {
		amount.bytes = packet.length;
		if (packet.ports.protocol == IPPROTO_TCP)
			amount.again_bytes = accounts_overlap(&packet, &connection->sent_up_to, &connection->has_sent);
		if (amount.again_bytes == packet.length)
			amount.again_packets = amount.packets;
		if (packet.ports.protocol == IPPROTO_UDP &&
		    bpf_skb_load_bytes(skb, packet.payload_at + ACCOUNTS_IPERF3_UDP_ID, &id, sizeof(id)) == 0)
			datagrams_leave(connection, bpf_ntohl(id), now);
	}
	accounts_add(connection, connection->is_backward ? ACCOUNTS_SENT_BACKWARD : ACCOUNTS_SENT, now, &amount);
	return TC_ACT_UNSPEC;
}

/* Reads the headers of a packet in the kernel's own hooks, from the network header on. */
static __always_inline int accounts_read(const void *skb, struct flows_packet *packet, u32 *udp_id)
{
	u64 network = LOAD(u64, skb, sk_buff, head) + LOAD(u16, skb, sk_buff, network_header);
	u16 family = bpf_ntohs(LOAD(u16, skb, sk_buff, protocol));
	u32 header, length;

	if (family == ETH_P_IP) {
		struct ipv4_header ip = {};

		read_kernel(&ip, sizeof(ip), (void *)network);
		header = flows_take_ipv4(packet, &ip, &length);
	} else if (family == ETH_P_IPV6) {
		struct flows_ipv6 ip = {};

		read_kernel(&ip, sizeof(ip), (void *)network);
		header = flows_take_ipv6(packet, &ip, &length);
	} else {
		return 0;
	}
	if (!header)
		return 0;
	if (packet->ports.protocol == IPPROTO_TCP) {
		struct tcp_header tcp = {};

		read_kernel(&tcp, sizeof(tcp), (void *)(network + header));
		flows_take_tcp(packet, &tcp, length);
		return 1;
	}
	if (packet->ports.protocol == IPPROTO_UDP) {
		struct { u16 sport, dport, length, check; u32 payload[3]; } udp = {};

		read_kernel(&udp, sizeof(udp), (void *)(network + header));
		flows_take_udp(packet, udp.sport, udp.dport, length);
		*udp_id = bpf_ntohl(udp.payload[ACCOUNTS_IPERF3_UDP_ID / 4]);
		return 1;
	}
	return 0;
}

static __always_inline u32 accounts_segments(const void *skb)
{
	const void *shared = (const void *)(LOAD(u64, skb, sk_buff, head) + LOAD(u32, skb, sk_buff, end));
	u16 segments = READ(u16, shared, skb_shared_info, gso_segs);

	return segments ? segments : 1;
}

static __always_inline int accounts_arrive(const void *skb)
{
	struct flows_packet packet = {};
	struct flows_connection *connection;
	struct accounts_amount amount = {};
	u32 id = 0, is_copy = 0;
	u64 now;

	if (!accounts_read(skb, &packet, &id))
		return 0;
	connection = flows_connections.lookup(&packet.ports);
	/* Data of the other direction and greetings by UDP have come by the management link. */
	if (!connection || (connection->is_backward && packet.length))
		return 0;
	if (packet.ports.protocol == IPPROTO_UDP && packet.length == 4)
		return 0;
	now = bpf_ktime_get_ns();
	amount.packets = accounts_segments(skb);
	amount.ce_packets = packet.ecn == ECN_CE ? amount.packets : 0;
	if (packet.length && !accounts_is_cookie(connection, &packet)) {
		amount.bytes = packet.length;
		if (packet.ports.protocol == IPPROTO_TCP) {
			/* Short flows have many connections, each with its own numbers. */
			u32 ports = (u32)packet.ports.sport << 16 | packet.ports.dport;

			is_copy = accounts_has_seen(connection, packet.seq ^ ports);
		} else if (packet.length >= ACCOUNTS_IPERF3_UDP_BYTES) {
			is_copy = accounts_has_seen(connection, id);
			if (!is_copy)
				datagrams_arrive(connection, id, now);
		}
		if (is_copy) {
			amount.again_packets = amount.packets;
			amount.again_bytes = packet.length;
		}
		connection->arrived_ns = now;
	}
	accounts_add(connection, connection->is_backward ? ACCOUNTS_ARRIVED_BACKWARD : ACCOUNTS_ARRIVED, now,
		     &amount);
	return 0;
}

/* At tcp_v4_rcv(), tcp_v6_rcv(), udp_rcv() and udpv6_rcv(). */
int accounts_arrived(struct bpf_raw_tracepoint_args *ctx)
{
	return accounts_arrive((const void *)ctx->args[0]);
}

/*
 * For kernels that allow no programs at functions: packets are counted where they enter the host.  Behind an interface
 * with netem, a packet comes by here twice: from the interface and then, delayed, from the ifb that holds netem, which
 * marks it as having been through the filters already (tc_skip_classify).
 */
struct accounts_interface { u32 netns, ifindex; };
BPF_TABLE("hash", struct accounts_interface, u32, accounts_interfaces, 2048);	/* 1: it has netem */

static __always_inline int accounts_enter_record(struct bpf_raw_tracepoint_args *ctx)
{
	const void *skb = (const void *)ctx->args[0];
	struct accounts_interface interface = {};
	u32 *has_netem;

	interface.ifindex = read_interface(skb, &interface.netns);
	has_netem = accounts_interfaces.lookup(&interface);
	if (!has_netem || READ_BITS(skb, sk_buff, tc_skip_classify) != *has_netem)
		return 0;
	return accounts_arrive(skb);
}

INTERRUPTIBLE_PROGRAM(accounts_enter, 0)

/* Adds what a receiving socket has delivered in order since it was last seen, at the time of the last arrival. */
static __always_inline void accounts_deliver(const void *sk, const void *tcp)
{
	struct flows_ports ports = { .protocol = IPPROTO_TCP };
	struct flows_connection *connection;
	struct accounts_amount amount = {};
	u64 received = LOAD(u64, tcp, tcp_sock, bytes_received);

	ports.sport = bpf_ntohs(LOAD(u16, sk, sock_common, skc_dport));
	ports.dport = bpf_ntohs(LOAD(u16, tcp, inet_sock, inet_sport));
	connection = flows_connections.lookup(&ports);
	if (!connection || connection->is_backward || received <= connection->received_bytes)
		return;
	amount.bytes = received - connection->received_bytes;
	connection->received_bytes = received;
	accounts_add(connection, ACCOUNTS_DELIVERED, connection->arrived_ns, &amount);
}

/* The kernel calls this before it processes a segment, and so it shows what the segments before have led to. */
static __always_inline int accounts_received_record(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = (const void *)ctx->args[0];
	const void *tcp = to_tcp_sock(sk);

	if (tcp)
		accounts_deliver(sk, tcp);
	return 0;
}

INTERRUPTIBLE_PROGRAM(accounts_received, 1)
