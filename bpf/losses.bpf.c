// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Count the packets of each flow that the kernel drops on their way, by place and reason, in bins of time.
 *
 * The tracepoint skb:kfree_skb gives the function that drops a packet and the reason.  A packet that a queue drops still
 * belongs to the queue's device.  One event is written for each bin in which a flow lost packets at a place.
 */
struct losses_key {
	u64 location;
	u32 netns;
	u32 ifindex;		/* 0: the packet had arrived at a socket */
	u32 flow;
	u16 reason;
	u16 is_backward;
};

struct losses_bin {
	u64 end_ns;
	u32 packets;
	u32 bytes;
};

BPF_ARRAY(losses_config, struct accounts_config, 1);
BPF_ARRAY(losses_lost, u64, 1);
BPF_TABLE("hash", struct losses_key, struct losses_bin, losses_bins, 8192);
BPF_RINGBUF_OUTPUT(losses_events, LOSSES_RING_PAGES);

static __always_inline void losses_emit(const struct losses_key *key, const struct losses_bin *bin, u64 bin_ns)
{
	u32 zero = 0;
	struct losses_event *event = losses_events.ringbuf_reserve(sizeof(struct losses_event));

	if (!event) {
		count_lost(losses_lost.lookup(&zero));
		return;
	}
	event->ts_ns = bin->end_ns - bin_ns;
	event->location = key->location;
	event->netns = key->netns;
	event->ifindex = key->ifindex;
	event->flow = key->flow;
	event->reason = key->reason;
	event->way = key->is_backward;
	event->packets = bin->packets;
	event->bytes = bin->bytes;
	event->unused = 0;
	losses_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Tracepoint arguments: (struct sk_buff *skb, void *location, enum skb_drop_reason reason, ...) */
static __always_inline int losses_packet_record(struct bpf_raw_tracepoint_args *ctx)
{
	const void *skb = (const void *)ctx->args[0];
	u32 zero = 0, id = 0;
	u64 now;
	struct losses_key key = {};
	struct losses_bin new = {}, *bin;
	struct flows_packet packet = {};
	struct flows_connection *connection;
	struct accounts_config *config = losses_config.lookup(&zero);

	if (!config || !config->bin_ns || !accounts_read(skb, &packet, &id))
		return 0;
	connection = flows_connections.lookup(&packet.ports);
	if (!connection)
		return 0;
	key.location = ctx->args[1];
	key.reason = ctx->args[2];
	key.flow = connection->flow;
	key.is_backward = connection->is_backward;
	key.ifindex = read_interface(skb, &key.netns);
#if ARGUMENTS(kfree_skb) >= 4
	/* TCP has cleared the device of the packet, but the socket that was to receive it identifies the namespace. */
	if (!key.ifindex && ctx->args[3])
		key.netns = number_of_netns(READ(void *, (const void *)ctx->args[3], sock_common, skc_net));
#endif
	now = bpf_ktime_get_ns();
	bin = losses_bins.lookup(&key);
	if (!bin) {
		losses_bins.update(&key, &new);
		bin = losses_bins.lookup(&key);
		if (!bin) {
			count_lost(losses_lost.lookup(&zero));
			return 0;
		}
	}
	if (now >= bin->end_ns) {
		if (bin->packets)
			losses_emit(&key, bin, config->bin_ns);
		bin->packets = 0;
		bin->bytes = 0;
		bin->end_ns = accounts_bin_end(config, now);
	}
	bin->packets += accounts_segments(skb);
	bin->bytes += packet.length;
	return 0;
}

INTERRUPTIBLE_PROGRAM(losses_packet, 0)
