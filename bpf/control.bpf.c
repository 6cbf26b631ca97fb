// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Keep iperf3's control traffic off the experiment's path, and let flows begin at their declared time.
 *
 * iperf3 exchanges parameters, states and results over a control connection between the same hosts.  On the path it
 * would compete with the measured traffic, be delayed and lost, and move the beginning and the end of the test.  Each
 * host therefore has a second interface, to a management link without delay or loss.  Programs at the egress of the
 * host's own interfaces send control packets there (accounts_leave() in accounts.bpf.c calls control_divert()).
 *
 * At the management interface, control_gate() holds what makes a client or a server begin to send until the flow's
 * declared start.  Connections are opened before that.
 */
#define BPF_F_CURRENT_NETNS (-1L)

/* States of a test that iperf3's server or client sends as one byte (iperf_api.h). */
#define IPERF3_TEST_START 1
#define IPERF3_TEST_RUNNING 2
#define IPERF3_TEST_END 4

struct control_address { u64 half[2]; };

struct control_host {
	u32 ifindex;		/* of its management interface */
	u8 mac[6];		/* the address of that interface */
	u16 unused;
};

BPF_TABLE("hash", struct control_address, struct control_host, control_hosts, 2048);

/* Reads the addresses of an IP packet at a tc hook. */
static __always_inline int control_read_addresses(struct __sk_buff *skb, struct control_address *from,
						  struct control_address *to)
{
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		u32 addresses[2];

		if (bpf_skb_load_bytes(skb, ETHERNET_BYTES + 12, addresses, sizeof(addresses)) < 0)
			return 0;
		map_ipv4(from->half, addresses[0]);
		map_ipv4(to->half, addresses[1]);
		return 1;
	}
	return bpf_skb_load_bytes(skb, ETHERNET_BYTES + 8, from, sizeof(*from)) == 0 &&
	       bpf_skb_load_bytes(skb, ETHERNET_BYTES + 24, to, sizeof(*to)) == 0;
}

/* Whether a packet starts the sending of a server: the cookie, by which it knows a data connection in reverse mode. */
static __always_inline int control_is_request(const struct flows_declared *declared, const struct flows_packet *packet,
					      int is_from_server)
{
	return declared->data_port_low && declared->is_reverse && !is_from_server && packet->length > 0 &&
	       packet->ports.protocol == IPPROTO_TCP;
}

/* Sends iperf3's control packets to the management link; leaves all others alone.  For the egress of hosts. */
static __always_inline int control_divert(struct __sk_buff *skb, const struct flows_packet *packet)
{
	struct control_address from = {}, to = {};
	struct control_host *source, *destination;
	struct flows_declared *declared;
	int is_from_server;

	declared = flows_find(packet, &is_from_server);
	if (!declared || !declared->data_port_low)
		return TC_ACT_UNSPEC;
	if (!flows_is_control(declared, packet, is_from_server) && !control_is_request(declared, packet, is_from_server))
		return TC_ACT_UNSPEC;
	if (!control_read_addresses(skb, &from, &to))
		return TC_ACT_UNSPEC;
	source = control_hosts.lookup(&from);
	destination = control_hosts.lookup(&to);
	if (!source || !destination || bpf_skb_store_bytes(skb, 0, destination->mac, sizeof(destination->mac), 0) < 0)
		return TC_ACT_UNSPEC;
	return bpf_redirect(source->ifindex, 0);
}

/* Whether the client's data connection still has segments that are not acknowledged. */
static __always_inline int control_has_data_out(struct __sk_buff *skb, const struct flows_packet *packet,
						const struct flows_declared *declared)
{
	struct control_address from = {}, to = {};
	struct bpf_sock_tuple tuple = {};
	struct bpf_tcp_sock *tcp;
	struct bpf_sock *sk;
	int has_data_out = 0;

	if (!control_read_addresses(skb, &from, &to))
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		tuple.ipv4.saddr = to.half[1] >> 32;
		tuple.ipv4.daddr = from.half[1] >> 32;
		tuple.ipv4.sport = bpf_htons(packet->ports.dport);
		tuple.ipv4.dport = bpf_htons(declared->data_port_low);
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, to.half, 16);
		__builtin_memcpy(tuple.ipv6.daddr, from.half, 16);
		tuple.ipv6.sport = bpf_htons(packet->ports.dport);
		tuple.ipv6.dport = bpf_htons(declared->data_port_low);
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return 0;
	tcp = bpf_tcp_sock(sk);
	if (tcp)
		has_data_out = tcp->packets_out > 0;
	bpf_sk_release(sk);
	return has_data_out;
}

/* At the egress of a management interface, above fq, which holds each packet until its skb->tstamp. */
int control_gate(struct __sk_buff *skb)
{
	struct flows_packet packet = {};
	struct flows_declared *declared;
	int is_from_server, is_start = 0;
	u8 state = 0;

	skb->tstamp = 0;
	if (!flows_read(skb, &packet))
		return TC_ACT_OK;
	declared = flows_find(&packet, &is_from_server);
	if (!declared)
		return TC_ACT_OK;
	if (packet.ports.protocol == IPPROTO_UDP) {
		is_start = declared->is_reverse && !is_from_server;
	} else if (!flows_is_control(declared, &packet, is_from_server)) {
		is_start = 1;	/* control_is_request() */
	} else if (packet.length == 1 || packet.length == 2) {
		if (bpf_skb_load_bytes(skb, packet.payload_at, &state, 1) < 0)
			return TC_ACT_OK;
		/* The client sends the end of the test again, after TCP's retransmission timeout. */
		if (declared->waits_for_data && !is_from_server && state == IPERF3_TEST_END &&
		    control_has_data_out(skb, &packet, declared))
			return TC_ACT_SHOT;
		is_start = is_from_server && !declared->is_reverse &&
			   (state == IPERF3_TEST_START || state == IPERF3_TEST_RUNNING);
	}
	if (is_start && declared->start_ns > bpf_ktime_get_ns())
		skb->tstamp = declared->start_ns;
	return TC_ACT_OK;
}
