// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record where and why packets are dropped and, as an option, how long they take between places in the network stack.
 *
 * The tracepoint skb:kfree_skb gives the location and the reason of a drop.  A packet that a queue drops still belongs
 * to the queue's device.
 *
 * Times are taken at these places: __dev_queue_xmit() (dev_queue_xmit() is only an inline wrapper of it in newer
 * kernels), the tracepoint net:net_dev_xmit, eth_type_trans(), napi_gro_receive() (gro_receive_skb() in newer kernels),
 * the tracepoint net:netif_receive_skb (at the top of __netif_receive_skb_core(), which cannot be used itself because
 * the compiler may clone it) and tcp_v4_rcv().
 */
enum drops_stage { NOWHERE, DEV_QUEUE_XMIT, NET_DEV_XMIT, ETH_TYPE_TRANS, GRO_RECEIVE, NETIF_RECEIVE, TCP_RECEIVE,
		   STAGES };

#define DROPS_BUCKETS 64	/* bucket 0 holds times below 2 ns, bucket n > 0 those from 2^n to below 2^(n+1) ns */

struct drops_seen {
	u64 ts_ns;
	u64 stage;
};

BPF_ARRAY(drops_filter, struct filter, 1);
BPF_ARRAY(drops_lost, u64, 1);
BPF_TABLE("lru_hash", u64, struct drops_seen, drops_last_seen, 16384);
/* Index: (from * STAGES + to) * DROPS_BUCKETS + bucket */
BPF_ARRAY(drops_latency, u64, STAGES * STAGES * DROPS_BUCKETS);
BPF_RINGBUF_OUTPUT(drops_events, DROPS_RING_PAGES);

/* What iperf3 writes into the payload of a datagram: the time in two words, and the number of the packet. */
struct drops_iperf3_payload { u32 seconds, microseconds, number; };

/*
 * Whether iperf3 is the sender, only the reader of the event can tell.  A payload that is not part of the packet's
 * linear memory (skb->data_len) is not where the headers say.
 */
static __always_inline u32 drops_datagram(const void *skb, const struct segment *segment)
{
	struct drops_iperf3_payload payload = {};

	if (segment->protocol != IPPROTO_UDP || segment->length < sizeof(payload) || READ(u32, skb, sk_buff, data_len))
		return 0;
	read_kernel(&payload, sizeof(payload), (void *)(segment->transport + UDP_HEADER_BYTES));
	return bpf_ntohl(payload.number);
}

/* Tracepoint arguments: (struct sk_buff *skb, void *location, enum skb_drop_reason reason, ...) */
static __always_inline int drops_packet_record(struct bpf_raw_tracepoint_args *ctx)
{
	const void *skb = (const void *)ctx->args[0];
	u64 key = (u64)skb;
	u32 zero = 0, ifindex;
	struct segment segment = {};
	struct drops_event *event;
	struct filter *filter = drops_filter.lookup(&zero);

	drops_last_seen.delete(&key);
	if (!filter)
		return 0;
	read_packet(skb, &segment);
	ifindex = read_interface(skb, &segment.ends.netns);
#if ARGUMENTS(kfree_skb) >= 4
	/* TCP has cleared the device of the packet, but the socket that was to receive it identifies the namespace. */
	if (!ifindex && ctx->args[3])
		segment.ends.netns = number_of_netns(READ(void *, (const void *)ctx->args[3], sock_common, skc_net));
#endif
	if (!is_wanted(filter, &segment.ends))
		return 0;
	event = drops_events.ringbuf_reserve(sizeof(struct drops_event));
	if (!event) {
		count_lost(drops_lost.lookup(&zero));
		return 0;
	}
	event->ts_ns = bpf_ktime_get_ns();
	event->location = ctx->args[1];
	SET_ENDPOINTS(event, &segment.ends);
	event->seq = segment.seq;
	event->length = segment.length;
	event->packet_bytes = READ(u32, skb, sk_buff, len);
	event->reason = ctx->args[2];
	event->ifindex = ifindex;
	event->ether_type = bpf_ntohs(READ(u16, skb, sk_buff, protocol));
	event->protocol = segment.protocol;
	event->flags = segment.flags;
	event->datagram = drops_datagram(skb, &segment);
	__builtin_memset(event->unused, 0, sizeof(event->unused));
	drops_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

INTERRUPTIBLE_PROGRAM(drops_packet, 0)

static __always_inline u32 drops_bucket(u64 value)
{
	u32 bucket = 0;

	if (value >> 32) { value >>= 32; bucket += 32; }
	if (value >> 16) { value >>= 16; bucket += 16; }
	if (value >> 8) { value >>= 8; bucket += 8; }
	if (value >> 4) { value >>= 4; bucket += 4; }
	if (value >> 2) { value >>= 2; bucket += 2; }
	return bucket + (value >> 1);
}

static __always_inline int drops_pass(const void *skb, u64 stage)
{
	u64 key = (u64)skb, now = bpf_ktime_get_ns();
	struct drops_seen here = { now, stage };
	struct drops_seen *before = drops_last_seen.lookup(&key);

	if (before && before->stage < STAGES) {
		u32 index = (before->stage * STAGES + stage) * DROPS_BUCKETS + drops_bucket(now - before->ts_ns);
		u64 *count = drops_latency.lookup(&index);

		if (count)
			__sync_fetch_and_add(count, 1);
	}
	if (stage == TCP_RECEIVE)
		drops_last_seen.delete(&key);	/* the packet's path through the stack ends here */
	else
		drops_last_seen.update(&key, &here);
	return 0;
}

/* The kernel frees the packet and may soon use its memory for another one, which must not be mistaken for it. */
int drops_consumed(struct bpf_raw_tracepoint_args *ctx)
{
	u64 key = ctx->args[0];

	drops_last_seen.delete(&key);
	return 0;
}

int drops_dev_queue_xmit(struct bpf_raw_tracepoint_args *ctx)
{
	return drops_pass((const void *)ctx->args[0], DEV_QUEUE_XMIT);
}

int drops_net_dev_xmit(struct bpf_raw_tracepoint_args *ctx)
{
	return drops_pass((const void *)ctx->args[0], NET_DEV_XMIT);
}

int drops_eth_type_trans(struct bpf_raw_tracepoint_args *ctx)
{
	return drops_pass((const void *)ctx->args[0], ETH_TYPE_TRANS);
}

/* napi_gro_receive(struct napi_struct *, struct sk_buff *) or gro_receive_skb(struct gro_node *, struct sk_buff *) */
int drops_gro_receive(struct bpf_raw_tracepoint_args *ctx)
{
	return drops_pass((const void *)ctx->args[1], GRO_RECEIVE);
}

int drops_netif_receive(struct bpf_raw_tracepoint_args *ctx)
{
	return drops_pass((const void *)ctx->args[0], NETIF_RECEIVE);
}

int drops_tcp_receive(struct bpf_raw_tracepoint_args *ctx)
{
	return drops_pass((const void *)ctx->args[0], TCP_RECEIVE);
}
