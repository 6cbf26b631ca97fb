// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Record each change of a connection's TCP state: tracepoint sock:inet_sock_set_state (net/ipv4/af_inet.c). */
BPF_ARRAY(states_filter, struct filter, 1);
BPF_ARRAY(states_lost, u64, 1);
BPF_TABLE("lru_hash", u64, u64, states_since, 65536);
BPF_RINGBUF_OUTPUT(states_events, STATES_RING_PAGES);

static __always_inline int states_change_record(struct bpf_raw_tracepoint_args *ctx)
{
	void *sk = (void *)ctx->args[0];
	u8 oldstate = ctx->args[1], newstate = ctx->args[2];
	u64 key = (u64)sk, now = bpf_ktime_get_ns();
	u64 *since;
	u32 zero = 0;
	struct endpoints ends;
	struct states_event *event;
	struct filter *filter = states_filter.lookup(&zero);

	if (!filter || READ(u16, sk, sock, sk_protocol) != IPPROTO_TCP)
		return 0;
	read_socket_endpoints(sk, &ends);
	if (!is_wanted(filter, &ends))
		return 0;
	event = states_events.ringbuf_reserve(sizeof(struct states_event));
	if (!event) {
		count_lost(states_lost.lookup(&zero));
		return 0;
	}
	since = states_since.lookup(&key);
	event->ts_ns = now;
	event->skaddr = key;
	event->duration_ns = since ? now - *since : 0;
	SET_ENDPOINTS(event, &ends);
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->oldstate = oldstate;
	event->newstate = newstate;
	states_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	if (newstate == TCP_CLOSE)
		states_since.delete(&key);
	else
		states_since.update(&key, &now);
	return 0;
}

INTERRUPTIBLE_PROGRAM(states_change, 0)
