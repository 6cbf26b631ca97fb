// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record the headers of each TCP segment that arrives at tcp_v4_rcv() (net/ipv4/tcp_ipv4.c) or tcp_v6_rcv()
 * (net/ipv6/tcp_ipv6.c).
 */
BPF_ARRAY(packets_filter, struct filter, 1);
BPF_ARRAY(packets_lost, u64, 1);
BPF_RINGBUF_OUTPUT(packets_events, PACKETS_RING_PAGES);

static __always_inline int packets_record(const void *skb)
{
	u32 zero = 0, ifindex;
	struct segment segment = {};
	struct packets_event *event;
	struct filter *filter = packets_filter.lookup(&zero);

	if (!filter || !read_packet(skb, &segment) || segment.protocol != IPPROTO_TCP)
		return 0;
	ifindex = read_interface(skb, &segment.ends.netns);
	if (!is_wanted(filter, &segment.ends))
		return 0;
	event = packets_events.ringbuf_reserve(sizeof(struct packets_event));
	if (!event) {
		count_lost(packets_lost.lookup(&zero));
		return 0;
	}
	event->ts_ns = bpf_ktime_get_ns();
	SET_ENDPOINTS(event, &segment.ends);
	event->seq = segment.seq;
	event->ack = segment.ack;
	event->length = segment.length;
	event->ifindex = ifindex;
	event->window = segment.window;
	event->flags = segment.flags;
	event->ecn = segment.ecn;
	event->unused[0] = 0;
	event->unused[1] = 0;
	packets_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

/* At tcp_v4_rcv() and at tcp_v6_rcv(). */
int packets_received(struct bpf_raw_tracepoint_args *ctx)
{
	return packets_record((const void *)ctx->args[0]);
}
