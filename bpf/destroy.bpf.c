// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record sockets that the kernel destroys: tracepoint tcp:tcp_destroy_sock (in tcp_v4_destroy_sock(),
 * net/ipv4/tcp_ipv4.c).
 */
BPF_ARRAY(destroy_filter, struct filter, 1);
BPF_ARRAY(destroy_lost, u64, 1);
BPF_RINGBUF_OUTPUT(destroy_events, DESTROY_RING_PAGES);

static __always_inline int destroy_socket_record(struct bpf_raw_tracepoint_args *ctx)
{
	void *sk = (void *)ctx->args[0];
	u32 zero = 0;
	struct endpoints ends;
	struct destroy_event *event;
	struct filter *filter = destroy_filter.lookup(&zero);

	if (!filter)
		return 0;
	read_socket_endpoints(sk, &ends);
	if (!is_wanted(filter, &ends))
		return 0;
	event = destroy_events.ringbuf_reserve(sizeof(struct destroy_event));
	if (!event) {
		count_lost(destroy_lost.lookup(&zero));
		return 0;
	}
	event->ts_ns = bpf_ktime_get_ns();
	event->skaddr = (u64)sk;
	event->sock_cookie = bpf_get_socket_cookie(sk);
	SET_ENDPOINTS(event, &ends);
	__builtin_memset(event->unused, 0, sizeof(event->unused));
	destroy_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

INTERRUPTIBLE_PROGRAM(destroy_socket, 0)
