// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Record connection resets sent and received: tracepoints tcp:tcp_send_reset and tcp:tcp_receive_reset. */
BPF_ARRAY(resets_filter, struct filter, 1);
BPF_ARRAY(resets_lost, u64, 1);
BPF_RINGBUF_OUTPUT(resets_events, RESETS_RING_PAGES);

static __always_inline int resets_record(const void *sk, const struct endpoints *ends, u32 reason, u8 is_sent)
{
	u32 zero = 0;
	struct resets_event *event;
	struct filter *filter = resets_filter.lookup(&zero);

	if (!filter || !is_wanted(filter, ends))
		return 0;
	event = resets_events.ringbuf_reserve(sizeof(struct resets_event));
	if (!event) {
		count_lost(resets_lost.lookup(&zero));
		return 0;
	}
	event->ts_ns = bpf_ktime_get_ns();
	event->skaddr = (u64)sk;
	SET_ENDPOINTS(event, ends);
	event->reason = reason;
	event->state = sk ? READ(u8, sk, sock_common, skc_state) : 0;
	event->is_sent = is_sent;
	resets_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline int resets_sent_record(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = (const void *)ctx->args[0], *skb = (const void *)ctx->args[1];
	struct endpoints ends = {};
	u32 reason = 0;

#if ARGUMENTS(tcp_send_reset) >= 3
	reason = ctx->args[2];
#endif
	/*
	 * The connection is read from the segment that the reset answers, because the socket may be a listening one.
	 * The destination of that segment is the end that sends the reset.
	 */
	if (skb) {
		struct segment answered = {};
		u32 netns = 0;

		read_packet(skb, &answered);
		read_interface(skb, &netns);
		ends = answered.ends;
		ends.netns = sk ? number_of_netns(READ(void *, sk, sock_common, skc_net)) : netns;
		ends.sport = answered.ends.dport;
		ends.dport = answered.ends.sport;
		ends.saddr[0] = answered.ends.daddr[0];
		ends.saddr[1] = answered.ends.daddr[1];
		ends.daddr[0] = answered.ends.saddr[0];
		ends.daddr[1] = answered.ends.saddr[1];
	} else if (sk) {
		read_socket_endpoints(sk, &ends);
	}
	return resets_record(sk, &ends, reason, 1);
}

INTERRUPTIBLE_PROGRAM(resets_sent, 1)

static __always_inline int resets_received_record(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = (const void *)ctx->args[0];
	struct endpoints ends = {};

	read_socket_endpoints(sk, &ends);
	return resets_record(sk, &ends, 0, 0);
}

INTERRUPTIBLE_PROGRAM(resets_received, 0)
