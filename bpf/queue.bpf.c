// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record the state of the queue of each interface that has one.
 *
 * The programs are attached to the tracepoints qdisc:qdisc_enqueue and qdisc:qdisc_dequeue, which fire after the root
 * queueing discipline has accepted or released a packet (net/core/dev.c, net/sched/sch_generic.c), and to
 * net:net_dev_queue, which fires before.
 *
 * A queue changes only at these events, so its length at the end of an interval is its length after the last event
 * before that time.  Therefore no timer is needed, and an interval without events costs nothing.
 */
struct queue_config {
	u64 interval_ns;	/* interval between samples; 0 for no samples */
	u16 every_packet;
	u16 unused[3];
};

struct queue_state {
	u64 interval;		/* number of the interval that contains the last event */
	u32 backlog_bytes;
	u32 backlog_packets;
	u32 drops;
	u32 requeues;
	u32 marks;
	u32 drops_before;	/* before the first packet that was recorded; so is the next field */
	u32 requeues_before;
	u32 unused;
};

struct queue_waiting {
	u64 since_ns;
	u64 ecn;		/* ECN field of the packet when it entered the queue */
};

BPF_ARRAY(queue_config, struct queue_config, 1);
BPF_ARRAY(queue_lost, u64, 1);
BPF_TABLE("lru_hash", u64, struct queue_state, queue_states, 1024);
BPF_TABLE("lru_hash", u64, struct queue_waiting, queue_waiting, 65536);
BPF_RINGBUF_OUTPUT(queue_events, QUEUE_RING_PAGES);

#define CE 3

static __always_inline void queue_emit(const void *device, const struct queue_state *state, u64 ts_ns, u64 sojourn_ns,
				       u32 packet_bytes, u8 kind)
{
	u32 zero = 0;
	struct queue_event *event = queue_events.ringbuf_reserve(sizeof(struct queue_event));

	if (!event) {
		count_lost(queue_lost.lookup(&zero));
		return;
	}
	event->ts_ns = ts_ns;
	event->sojourn_ns = sojourn_ns;
	event->backlog_bytes = state->backlog_bytes;
	event->backlog_packets = state->backlog_packets;
	event->drops = state->drops - state->drops_before;
	event->requeues = state->requeues - state->requeues_before;
	event->marks = state->marks;
	event->netns = number_of_netns(READ(void *, device, net_device, nd_net));
	event->ifindex = READ(u32, device, net_device, ifindex);
	event->packet_bytes = packet_bytes;
	event->kind = kind;
	__builtin_memset(event->unused, 0, sizeof(event->unused));
	queue_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline int queue_changed(const void *qdisc, const void *skb, u8 kind)
{
	u32 zero = 0;
	u64 key = (u64)qdisc, packet = (u64)skb, now = bpf_ktime_get_ns(), sojourn_ns = UNKNOWN_NS;
	const void *device = READ(void *, READ(void *, qdisc, Qdisc, dev_queue), netdev_queue, dev);
	struct queue_state fresh = {}, *state;
	struct queue_waiting *waiting;
	struct segment segment = {};
	struct queue_config *config = queue_config.lookup(&zero);
	u32 drops = READ_AT(u32, qdisc + OFFSET(Qdisc, qstats) + OFFSET(gnet_stats_queue, drops));
	u32 requeues = READ_AT(u32, qdisc + OFFSET(Qdisc, qstats) + OFFSET(gnet_stats_queue, requeues));

	if (!config)
		return 0;
	state = queue_states.lookup(&key);
	if (!state) {
		fresh.drops_before = drops;
		fresh.requeues_before = requeues;
		if (config->interval_ns)
			fresh.interval = now / config->interval_ns;
		queue_states.update(&key, &fresh);
		state = queue_states.lookup(&key);
		if (!state)
			return 0;
	} else if (config->interval_ns && now / config->interval_ns != state->interval) {
		queue_emit(device, state, (state->interval + 1) * config->interval_ns, UNKNOWN_NS, 0,
			   AT_INTERVAL);
		state->interval = now / config->interval_ns;
	}

	if (kind == DEQUEUE) {
		waiting = queue_waiting.lookup(&packet);
		if (waiting) {
			read_packet(skb, &segment);
			sojourn_ns = now - waiting->since_ns;
			if (segment.ecn == CE && waiting->ecn != CE)
				state->marks++;
			queue_waiting.delete(&packet);
		}
	}
	state->backlog_bytes = READ_AT(u32, qdisc + OFFSET(Qdisc, qstats) + OFFSET(gnet_stats_queue, backlog));
	state->backlog_packets = READ_AT(u32, qdisc + OFFSET(Qdisc, q) + OFFSET(qdisc_skb_head, qlen));
	state->drops = drops;
	state->requeues = requeues;
	if (config->every_packet)
		queue_emit(device, state, now, sojourn_ns, READ(u32, skb, sk_buff, len), kind);
	return 0;
}

/* The tracepoint net:net_dev_queue fires before a packet enters a queue, which may mark it at once, as RED and PIE do. */
static __always_inline int queue_before_record(struct bpf_raw_tracepoint_args *ctx)
{
	u64 packet = ctx->args[0];
	struct queue_waiting entry = { .since_ns = bpf_ktime_get_ns() };
	struct segment segment = {};

	read_packet((const void *)ctx->args[0], &segment);
	entry.ecn = segment.ecn;
	queue_waiting.update(&packet, &entry);
	return 0;
}

INTERRUPTIBLE_PROGRAM(queue_before, 0)

/* Tracepoint arguments: (struct Qdisc *qdisc, const struct netdev_queue *txq, struct sk_buff *skb) */
int queue_enqueue(struct bpf_raw_tracepoint_args *ctx)
{
	return queue_changed((const void *)ctx->args[0], (const void *)ctx->args[2], ENQUEUE);
}

/* Tracepoint arguments: (struct Qdisc *qdisc, const struct netdev_queue *txq, int packets, struct sk_buff *skb) */
int queue_dequeue(struct bpf_raw_tracepoint_args *ctx)
{
	/* The tracepoint also fires, without a packet, when the queue had none to release. */
	return ctx->args[3] ? queue_changed((const void *)ctx->args[0], (const void *)ctx->args[3], DEQUEUE) : 0;
}
