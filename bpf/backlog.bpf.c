// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Integrate over time how full the queues of links are, in bins of time.
 *
 * The programs are attached to the tracepoints qdisc:qdisc_enqueue and qdisc:qdisc_dequeue, which fire after the root
 * queueing discipline has accepted or released a packet.  Only the queues that the agent has declared are followed.
 * One event is written for each bin in which a queue changed, and one for each longer time in which it held the same.
 */
struct backlog_config {
	u64 start_ns;		/* of the first bin */
	u64 bin_ns;
};

struct backlog_place { u32 netns, ifindex; };

struct backlog_state {
	u64 bin_end_ns;
	u64 since_ns;		/* up to when the sums have been computed */
	u64 byte_ns;		/* sums over time */
	u64 packet_ns;
	u32 bytes;		/* in the queue now */
	u32 packets;
	u32 most_bytes;		/* within the bin; so is the next field */
	u32 most_packets;
	u32 entered_packets;
	u32 left_packets;
	u32 removed_bytes;	/* by which the queue became shorter: sent or dropped */
	u32 netns;
	u32 ifindex;
	u32 is_followed;
};

BPF_ARRAY(backlog_config, struct backlog_config, 1);
BPF_ARRAY(backlog_lost, u64, 1);
BPF_TABLE("hash", struct backlog_place, u32, backlog_places, 2048);
BPF_TABLE("hash", u64, struct backlog_state, backlog_states, 4096);	/* by the address of the qdisc */
BPF_RINGBUF_OUTPUT(backlog_events, BACKLOG_RING_PAGES);

static __always_inline void backlog_emit(const struct backlog_state *state, u64 ts_ns, u64 length_ns, u64 byte_ns,
					 u64 packet_ns)
{
	u32 zero = 0;
	struct backlog_event *event = backlog_events.ringbuf_reserve(sizeof(struct backlog_event));

	if (!event) {
		count_lost(backlog_lost.lookup(&zero));
		return;
	}
	event->ts_ns = ts_ns;
	event->length_ns = length_ns;
	event->byte_ns = byte_ns;
	event->packet_ns = packet_ns;
	event->netns = state->netns;
	event->ifindex = state->ifindex;
	event->most_bytes = state->most_bytes;
	event->most_packets = state->most_packets;
	event->end_bytes = state->bytes;
	event->entered_packets = state->entered_packets;
	event->left_packets = state->left_packets;
	event->removed_bytes = state->removed_bytes;
	backlog_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline void backlog_add(struct backlog_state *state, u64 until_ns)
{
	u64 passed_ns = until_ns - state->since_ns;

	state->byte_ns += state->bytes * passed_ns;
	state->packet_ns += state->packets * passed_ns;
	state->since_ns = until_ns;
}

/* Ends the bins that are over. */
static __always_inline void backlog_advance(struct backlog_state *state, const struct backlog_config *config, u64 now)
{
	u64 whole_ns;

	backlog_add(state, state->bin_end_ns);
	if (state->byte_ns || state->entered_packets || state->left_packets)
		backlog_emit(state, state->bin_end_ns - config->bin_ns, config->bin_ns, state->byte_ns,
			     state->packet_ns);
	state->byte_ns = 0;
	state->packet_ns = 0;
	state->entered_packets = 0;
	state->left_packets = 0;
	state->removed_bytes = 0;
	state->most_bytes = state->bytes;
	state->most_packets = state->packets;
	whole_ns = (now - state->bin_end_ns) / config->bin_ns * config->bin_ns;
	if (whole_ns && state->bytes)
		backlog_emit(state, state->bin_end_ns, whole_ns, state->bytes * whole_ns, state->packets * whole_ns);
	state->since_ns = state->bin_end_ns + whole_ns;
	state->bin_end_ns = state->since_ns + config->bin_ns;
}

static __always_inline struct backlog_state *backlog_state_of(const void *qdisc, const struct backlog_config *config,
							      u64 now)
{
	u64 key = (u64)qdisc;
	struct backlog_state new = {}, *known = backlog_states.lookup(&key);
	struct backlog_place place = {};
	const void *device;

	if (known)
		return known;
	device = READ(void *, READ(void *, qdisc, Qdisc, dev_queue), netdev_queue, dev);
	place.netns = number_of_netns(READ(void *, device, net_device, nd_net));
	place.ifindex = READ(u32, device, net_device, ifindex);
	new.is_followed = backlog_places.lookup(&place) != 0;
	new.netns = place.netns;
	new.ifindex = place.ifindex;
	/* Times before the start of traffic are in bins as well. */
	new.since_ns = now;
	new.bin_end_ns = config->start_ns + config->bin_ns;
	if (now >= config->start_ns)
		new.bin_end_ns += (now - config->start_ns) / config->bin_ns * config->bin_ns;
	else
		new.bin_end_ns -= ((config->start_ns - now - 1) / config->bin_ns + 1) * config->bin_ns;
	backlog_states.update(&key, &new);
	return backlog_states.lookup(&key);
}

static __always_inline int backlog_changed(const void *qdisc, u32 entered, u32 left)
{
	u32 zero = 0, bytes;
	u64 now = bpf_ktime_get_ns();
	struct backlog_config *config = backlog_config.lookup(&zero);
	struct backlog_state *state;

	if (!config || !config->bin_ns)
		return 0;
	state = backlog_state_of(qdisc, config, now);
	if (!state || !state->is_followed)
		return 0;
	if (now >= state->bin_end_ns)
		backlog_advance(state, config, now);
	backlog_add(state, now);
	bytes = LOAD_WITHIN(u32, qdisc, OFFSET(Qdisc, qstats), gnet_stats_queue, backlog);
	if (bytes < state->bytes)
		state->removed_bytes += state->bytes - bytes;
	state->bytes = bytes;
	state->packets = LOAD_WITHIN(u32, qdisc, OFFSET(Qdisc, q), qdisc_skb_head, qlen);
	if (bytes > state->most_bytes)
		state->most_bytes = bytes;
	if (state->packets > state->most_packets)
		state->most_packets = state->packets;
	state->entered_packets += entered;
	state->left_packets += left;
	return 0;
}

/* Tracepoint arguments: (struct Qdisc *qdisc, const struct netdev_queue *txq, struct sk_buff *skb) */
int backlog_enqueue(struct bpf_raw_tracepoint_args *ctx)
{
	return backlog_changed((const void *)ctx->args[0], 1, 0);
}

/* Tracepoint arguments: (struct Qdisc *qdisc, const struct netdev_queue *txq, int packets, struct sk_buff *skb) */
int backlog_dequeue(struct bpf_raw_tracepoint_args *ctx)
{
	/* The tracepoint also fires, without a packet, when the queue had none to release. */
	return ctx->args[3] ? backlog_changed((const void *)ctx->args[0], 0, 1) : 0;
}
