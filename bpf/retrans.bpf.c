// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record each retransmitted segment and why it was retransmitted.
 *
 * The programs are attached to the tracepoints tcp:tcp_retransmit_skb (in __tcp_retransmit_skb(),
 * net/ipv4/tcp_output.c) and tcp:tcp_retransmit_synack (in tcp_rtx_synack()).
 */
#define ICSK_TIME_LOSS_PROBE 5	/* include/net/inet_connection_sock.h */

BPF_ARRAY(retrans_filter, struct filter, 1);
BPF_ARRAY(retrans_lost, u64, 1);
BPF_RINGBUF_OUTPUT(retrans_events, RETRANS_RING_PAGES);

/*
 * Returns the kind of a retransmission, which follows from the connection's congestion state:
 * - After a timeout, the connection enters Loss before it retransmits anything, including SYNs
 *   (tcp_retransmit_timer() calls tcp_enter_loss()).
 * - After SACKs or duplicate ACKs, it enters Recovery.
 * - A tail loss probe is sent in other states, while its timer is still marked as pending (tcp_send_loss_probe()
 *   clears the mark afterwards).
 */
static __always_inline u8 retrans_kind(const void *sk, u8 ca_state)
{
	if (ca_state == TCP_CA_LOSS)
		return TIMEOUT;
	if (ca_state == TCP_CA_RECOVERY)
		return FAST_RETRANSMIT;
	if (READ(u8, sk, inet_connection_sock, icsk_pending) == ICSK_TIME_LOSS_PROBE)
		return TAIL_LOSS_PROBE;
	return OTHER_RETRANSMIT;
}

/* Reserves an event for the socket or request `sock` and fills in the common fields; returns 0 if none is recorded. */
static __always_inline struct retrans_event *retrans_begin(const void *sock)
{
	u32 zero = 0;
	struct endpoints ends;
	struct retrans_event *event;
	struct filter *filter = retrans_filter.lookup(&zero);

	if (!filter)
		return 0;
	read_socket_endpoints(sock, &ends);
	if (!is_wanted(filter, &ends))
		return 0;
	event = retrans_events.ringbuf_reserve(sizeof(struct retrans_event));
	if (!event) {
		count_lost(retrans_lost.lookup(&zero));
		return 0;
	}
	event->ts_ns = bpf_ktime_get_ns();
	SET_ENDPOINTS(event, &ends);
	__builtin_memset(event->unused, 0, sizeof(event->unused));
	return event;
}

static __always_inline int retrans_segment_record(struct bpf_raw_tracepoint_args *ctx)
{
	void *sk = (void *)ctx->args[0], *skb = (void *)ctx->args[1];
	struct retrans_event *event;

#if ARGUMENTS(tcp_retransmit_skb) >= 3
	/* Since Linux 6.17, the tracepoint also fires for failed attempts, in which no segment was sent. */
	if ((s32)ctx->args[2])
		return 0;
#endif
	event = retrans_begin(sk);
	if (!event)
		return 0;
	event->skaddr = (u64)sk;
	event->seq = READ_AT(u32, skb + OFFSET(sk_buff, cb) + OFFSET(tcp_skb_cb, seq));
	event->end_seq = READ_AT(u32, skb + OFFSET(sk_buff, cb) + OFFSET(tcp_skb_cb, end_seq));
	event->snd_cwnd = READ(u32, sk, tcp_sock, snd_cwnd);
	event->state = READ(u8, sk, sock_common, skc_state);
	event->ca_state = READ_BITS(sk, inet_connection_sock, icsk_ca_state);
	event->kind = retrans_kind(sk, event->ca_state);
	retrans_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

INTERRUPTIBLE_PROGRAM(retrans_segment, 1)

static __always_inline int retrans_synack_record(struct bpf_raw_tracepoint_args *ctx)
{
	/* A struct request_sock begins with a struct sock_common, so it can be read like a socket. */
	struct retrans_event *event = retrans_begin((void *)ctx->args[1]);

	if (!event)
		return 0;
	event->skaddr = ctx->args[0];
	event->seq = 0;
	event->end_seq = 0;
	event->snd_cwnd = 0;
	event->state = TCP_NEW_SYN_RECV;
	event->ca_state = TCP_CA_OPEN;
	event->kind = SYNACK;
	retrans_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

INTERRUPTIBLE_PROGRAM(retrans_synack, 1)
