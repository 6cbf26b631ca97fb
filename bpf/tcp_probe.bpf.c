// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record the congestion state of a connection at each segment that it receives, as the tcpprobe kernel module did.
 *
 * The program is attached to the tracepoint tcp:tcp_probe at the top of tcp_rcv_established() (net/ipv4/tcp_input.c),
 * so the values are those from before the segment is processed.  As an option, the state is also recorded at each
 * segment that the connection sends, in __tcp_transmit_skb() (net/ipv4/tcp_output.c).
 *
 * A retransmission timeout changes the window although no segment arrives: tcp_enter_loss() sets it before the first
 * segment is sent again.  The state after a timeout is therefore recorded, too, at the tracepoint tcp:tcp_retransmit_skb.
 */
struct tcp_probe_config {
	u16 cwnd_change_only;	/* record only if snd_cwnd or ssthresh differs from the last recorded event */
	u16 unused[3];
};

BPF_ARRAY(tcp_probe_filter, struct filter, 1);
BPF_ARRAY(tcp_probe_config, struct tcp_probe_config, 1);
BPF_ARRAY(tcp_probe_lost, u64, 1);
BPF_TABLE("lru_hash", u64, u64, tcp_probe_last_window, 16384);
BPF_RINGBUF_OUTPUT(tcp_probe_events, TCP_PROBE_RING_PAGES);

/* The same calculation as tcp_current_ssthresh(), include/net/tcp.h. */
static __always_inline u32 tcp_probe_ssthresh(const void *sk, u32 cwnd, u8 ca_state)
{
	u32 ssthresh = LOAD(u32, sk, tcp_sock, snd_ssthresh);
	u32 three_quarters = (cwnd >> 1) + (cwnd >> 2);

	if (ca_state == TCP_CA_CWR || ca_state == TCP_CA_RECOVERY || ssthresh > three_quarters)
		return ssthresh;
	return three_quarters;
}

/* The same calculation as tcp_compute_delivery_rate(), net/ipv4/tcp.c. */
static __always_inline u64 tcp_probe_delivery_rate(const void *sk, u32 mss)
{
	u64 delivered = LOAD(u32, sk, tcp_sock, rate_delivered);
	u32 interval_us = LOAD(u32, sk, tcp_sock, rate_interval_us);

	return delivered && interval_us ? delivered * mss * 1000000 / interval_us : 0;
}

#define IS_CALLED(name, a, b, c, d) \
	(*(u32 *)(name) == ((a) | (b) << 8 | (c) << 16 | (u32)(d) << 24))

#define NO_MODE 255	/* the congestion control is not BBR */

/* Where the private variables of the congestion control begin in a socket. */
enum { OWN = OFFSET(inet_connection_sock, icsk_ca_priv) };

/* Reads private variables of the congestion control, if the kernel has type information about its structure. */
static __always_inline void tcp_probe_read_algorithm(const void *sk, struct tcp_probe_event *event)
{
	const void *algorithm = LOAD(void *, sk, inet_connection_sock, icsk_ca_ops);

	read_kernel(event->ca_name, 16, algorithm + OFFSET(tcp_congestion_ops, name));
	event->ca_bandwidth = 0;
	event->ca_min_rtt_us = 0;
	event->ca_gain = 0;
	event->ca_window_max = 0;
	event->ca_k_ms = 0;
	event->ca_mode = NO_MODE;
	event->ca_alpha = 0;
#if HAVE(bbr, pacing_gain) && HAVE(bbr, bw)
	if (IS_CALLED(event->ca_name, 'b', 'b', 'r', 0)) {
		/* As bbr_max_bw(), net/ipv4/tcp_bbr.c: first sample of the windowed maximum, packets/us << 24. */
		u64 bw = LOAD_AT(u32, sk, OWN + OFFSET(bbr, bw) + 4);
		u64 long_term = LOAD_BITS_WITHIN(sk, OWN, bbr, lt_use_bw) ? LOAD_WITHIN(u32, sk, OWN, bbr, lt_bw) : 0;

		event->ca_bandwidth = (long_term ?: bw) * event->mss * 1000000 >> 24;
		event->ca_mode = LOAD_BITS_WITHIN(sk, OWN, bbr, mode);
		event->ca_gain = LOAD_BITS_WITHIN(sk, OWN, bbr, pacing_gain);
		event->ca_min_rtt_us = LOAD_WITHIN(u32, sk, OWN, bbr, min_rtt_us);
	}
#endif
#if HAVE(bictcp, last_max_cwnd) && HAVE(bictcp, bic_K)
	if (IS_CALLED(event->ca_name, 'c', 'u', 'b', 'i')) {
		event->ca_window_max = LOAD_WITHIN(u32, sk, OWN, bictcp, last_max_cwnd);
		/* The unit of bic_K is 1/1024 s (BICTCP_HZ, net/ipv4/tcp_cubic.c). */
		event->ca_k_ms = (u64)LOAD_WITHIN(u32, sk, OWN, bictcp, bic_K) * 1000 >> 10;
	}
#endif
#if HAVE(vegas, baseRTT)
	if (IS_CALLED(event->ca_name, 'v', 'e', 'g', 'a'))
		event->ca_min_rtt_us = LOAD_WITHIN(u32, sk, OWN, vegas, baseRTT);
#endif
#if HAVE(dctcp, dctcp_alpha)
	/* Without ECN, its place is taken by "dctcp-reno", which has no alpha. */
	if (IS_CALLED(event->ca_name, 'd', 'c', 't', 'c') && IS_CALLED(event->ca_name + 4, 'p', 0, 0, 0))
		event->ca_alpha = LOAD_WITHIN(u32, sk, OWN, dctcp, dctcp_alpha);
#endif
}

enum { TCP_PROBE_RECEIVE, TCP_PROBE_TRANSMIT, TCP_PROBE_TIMEOUT };

/* `is_transmit` is a compile-time constant, so that each program contains only its own branch. */
static __always_inline int tcp_probe_record(void *socket, const void *skb, int is_transmit)
{
	u32 zero = 0;
	u8 ca_state;
	u32 cwnd, ssthresh;
	u64 cookie;
	const void *sk;
	struct endpoints ends;
	struct tcp_probe_event *event;
	struct filter *filter = tcp_probe_filter.lookup(&zero);
	struct tcp_probe_config *config = tcp_probe_config.lookup(&zero);

	if (!filter || !config)
		return 0;
	/* Ports are checked first, because on a busy host these two reads exclude most sockets. */
	if (!is_port_wanted(filter, LOAD(u16, socket, sock_common, skc_num),
			    bpf_ntohs(LOAD(u16, socket, sock_common, skc_dport))))
		return 0;
	sk = to_tcp_sock(socket);
	if (!sk)
		return 0;
	load_tcp_endpoints(sk, &ends);
	if (!is_wanted(filter, &ends))
		return 0;

	cookie = bpf_get_socket_cookie(socket);
	cwnd = LOAD(u32, sk, tcp_sock, snd_cwnd);
	ca_state = LOAD_BITS(sk, inet_connection_sock, icsk_ca_state);
	ssthresh = tcp_probe_ssthresh(sk, cwnd, ca_state);
	if (config->cwnd_change_only) {
		u64 window = (u64)ssthresh << 32 | cwnd;
		u64 *last = tcp_probe_last_window.lookup(&cookie);

		if (last && *last == window)
			return 0;
		tcp_probe_last_window.update(&cookie, &window);
	}

	event = tcp_probe_events.ringbuf_reserve(sizeof(struct tcp_probe_event));
	if (!event) {
		count_lost(tcp_probe_lost.lookup(&zero));
		return 0;
	}
	event->ts_ns = bpf_ktime_get_ns();
	event->sock_cookie = cookie;
	SET_ENDPOINTS(event, &ends);
	event->snd_cwnd = cwnd;
	event->ssthresh = ssthresh;
	event->ca_state = ca_state;
	event->is_transmit = is_transmit;
	event->pacing_rate = LOAD(u64, sk, sock, sk_pacing_rate);
	event->snd_nxt = LOAD(u32, sk, tcp_sock, snd_nxt);
	event->snd_una = LOAD(u32, sk, tcp_sock, snd_una);
	event->snd_wnd = LOAD(u32, sk, tcp_sock, snd_wnd);
	event->srtt_us = LOAD(u32, sk, tcp_sock, srtt_us) >> 3;
	event->rcv_wnd = LOAD(u32, sk, tcp_sock, rcv_wnd);
	event->packets_out = LOAD(u32, sk, tcp_sock, packets_out);
	event->sacked_out = LOAD(u32, sk, tcp_sock, sacked_out);
	event->lost_out = LOAD(u32, sk, tcp_sock, lost_out);
	event->retrans_out = LOAD(u32, sk, tcp_sock, retrans_out);
	event->total_retrans = LOAD(u32, sk, tcp_sock, total_retrans);
	event->mss = LOAD(u32, sk, tcp_sock, mss_cache);
	/* In struct minmax, the time of the first sample comes before its value (include/linux/win_minmax.h). */
	event->min_rtt_us = LOAD_AT(u32, sk, OFFSET(tcp_sock, rtt_min) + 4);
	event->sndbuf = LOAD(u32, sk, sock, sk_sndbuf);
	event->wmem_queued = LOAD(u32, sk, sock, sk_wmem_queued);
	event->rcvbuf = LOAD(u32, sk, sock, sk_rcvbuf);
	event->rmem_alloc = LOAD_AT(u32, sk, OFFSET(sock, sk_backlog));
	event->mark = LOAD(u32, skb, sk_buff, mark);
	event->delivery_rate = tcp_probe_delivery_rate(sk, event->mss);
	if (is_transmit != TCP_PROBE_RECEIVE) {
		event->data_len = LOAD(u32, skb, sk_buff, len);	/* the segment has no headers yet */
	} else {
		u64 tcp = LOAD(u64, skb, sk_buff, data);

		event->data_len = LOAD(u32, skb, sk_buff, len) - (READ_AT(u8, (void *)tcp + 12) >> 4) * 4;
	}
	tcp_probe_read_algorithm(sk, event);
	/* The reader polls the buffer and reads events in bulk: waking it for each event would disturb the trial. */
	tcp_probe_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline int tcp_probe_receive_record(struct bpf_raw_tracepoint_args *ctx)
{
	return tcp_probe_record((void *)ctx->args[0], (void *)ctx->args[1], TCP_PROBE_RECEIVE);
}

INTERRUPTIBLE_PROGRAM(tcp_probe_receive, 1)

static __always_inline int tcp_probe_transmit_record(struct bpf_raw_tracepoint_args *ctx)
{
	return tcp_probe_record((void *)ctx->args[0], (void *)ctx->args[1], TCP_PROBE_TRANSMIT);
}

INTERRUPTIBLE_PROGRAM(tcp_probe_transmit, 1)

static __always_inline int tcp_probe_timeout_record(struct bpf_raw_tracepoint_args *ctx)
{
	void *sk = (void *)ctx->args[0];

#if ARGUMENTS(tcp_retransmit_skb) >= 3
	/* Since Linux 6.17, the tracepoint also fires for failed attempts, in which no segment was sent. */
	if ((s32)ctx->args[2])
		return 0;
#endif
	/*
	 * Only what the timer sends again: tcp_retransmit_timer() counts the timeouts since the last progress in
	 * icsk_retransmits, and an ACK that makes progress resets it before more segments are sent again.
	 */
	if (READ_BITS(sk, inet_connection_sock, icsk_ca_state) != TCP_CA_LOSS ||
	    !READ(u8, sk, inet_connection_sock, icsk_retransmits) ||
	    READ(u8, sk, sock_common, skc_state) != TCP_ESTABLISHED)
		return 0;
	return tcp_probe_record(sk, (void *)ctx->args[1], TCP_PROBE_TIMEOUT);
}

INTERRUPTIBLE_PROGRAM(tcp_probe_timeout, 1)
