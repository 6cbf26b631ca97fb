// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record what the socket of a data connection has counted when the connection ends: once when it leaves ESTABLISHED,
 * and once when it closes (tracepoint sock:inet_sock_set_state, net/ipv4/af_inet.c).
 */
BPF_ARRAY(sockets_lost, u64, 1);
BPF_RINGBUF_OUTPUT(sockets_events, SOCKETS_RING_PAGES);

/* bpf_jiffies64() */
static u64 (*jiffies_now)(void) = (void *)118;

static __always_inline int sockets_end_record(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = (const void *)ctx->args[0];
	int oldstate = ctx->args[1], newstate = ctx->args[2];
	const void *tcp;
	struct sockets_event *event;
	struct flows_packet packet = {};
	struct flows_declared *declared;
	int is_from_server;
	u32 zero = 0;

	if (oldstate != TCP_ESTABLISHED && newstate != TCP_CLOSE)
		return 0;
	tcp = to_tcp_sock(sk);
	if (!tcp)
		return 0;
	packet.ports.sport = bpf_ntohs(LOAD(u16, tcp, inet_sock, inet_sport));
	packet.ports.dport = bpf_ntohs(LOAD(u16, sk, sock_common, skc_dport));
	packet.ports.protocol = IPPROTO_TCP;
	declared = flows_find(&packet, &is_from_server);
	if (!declared || !packet.ports.dport || flows_is_control(declared, &packet, is_from_server))
		return 0;
	accounts_deliver(sk, tcp);
	if (!declared->data_port_low)
		return 0;	/* short flows measure themselves */
	event = sockets_events.ringbuf_reserve(sizeof(struct sockets_event));
	if (!event) {
		count_lost(sockets_lost.lookup(&zero));
		return 0;
	}
	event->ts_ns = bpf_ktime_get_ns();
	event->jiffies = jiffies_now();
	event->fin_timeout = READ(u32, READ(void *, sk, sock_common, skc_net) + OFFSET(net, ipv4), netns_ipv4,
				  sysctl_tcp_fin_timeout);
	event->bytes_sent = LOAD(u64, tcp, tcp_sock, bytes_sent);
	event->bytes_acked = LOAD(u64, tcp, tcp_sock, bytes_acked);
	event->bytes_retrans = LOAD(u64, tcp, tcp_sock, bytes_retrans);
	event->bytes_received = LOAD(u64, tcp, tcp_sock, bytes_received);
	event->flow = declared->flow;
	event->segs_out = LOAD(u32, tcp, tcp_sock, segs_out);
	event->segs_in = LOAD(u32, tcp, tcp_sock, segs_in);
	event->data_segs_out = LOAD(u32, tcp, tcp_sock, data_segs_out);
	event->data_segs_in = LOAD(u32, tcp, tcp_sock, data_segs_in);
	event->total_retrans = LOAD(u32, tcp, tcp_sock, total_retrans);
	event->delivered = LOAD(u32, tcp, tcp_sock, delivered);
	event->delivered_ce = LOAD(u32, tcp, tcp_sock, delivered_ce);
	event->unacked = LOAD(u32, tcp, tcp_sock, packets_out);
	event->snd_cwnd = LOAD(u32, tcp, tcp_sock, snd_cwnd);
	event->snd_ssthresh = LOAD(u32, tcp, tcp_sock, snd_ssthresh);
	event->snd_wnd = LOAD(u32, tcp, tcp_sock, snd_wnd);
	event->snd_mss = LOAD(u32, tcp, tcp_sock, mss_cache);
	event->rtt = LOAD(u32, tcp, tcp_sock, srtt_us) >> 3;
	event->rttvar = LOAD(u32, tcp, tcp_sock, mdev_us) >> 2;
	/* rtt_min is a struct minmax, whose first sample { u32 t, v } is the smallest (include/linux/win_minmax.h). */
	event->min_rtt = LOAD_AT(u32, tcp, OFFSET(tcp_sock, rtt_min) + 4);
	event->reordering = LOAD(u32, tcp, tcp_sock, reordering);
	event->reord_seen = LOAD(u32, tcp, tcp_sock, reord_seen);
	event->dsack_dups = LOAD(u32, tcp, tcp_sock, dsack_dups);
	event->rcv_ooopack = LOAD(u32, tcp, tcp_sock, rcv_ooopack);
	event->chrono_busy = LOAD_AT(u32, tcp, OFFSET(tcp_sock, chrono_stat));
	event->chrono_rwnd_limited = LOAD_AT(u32, tcp, OFFSET(tcp_sock, chrono_stat) + 4);
	event->chrono_sndbuf_limited = LOAD_AT(u32, tcp, OFFSET(tcp_sock, chrono_stat) + 8);
	event->chrono_start = LOAD(u32, tcp, tcp_sock, chrono_start);
	event->chrono_type = READ_BITS(tcp, tcp_sock, chrono_type);
	event->sport = packet.ports.sport;
	event->dport = packet.ports.dport;
	event->oldstate = oldstate;
	event->newstate = newstate;
	event->is_sender = is_from_server == declared->is_reverse;
	event->unused = 0;
	event->unused2 = 0;
	read_kernel(event->ca_name, sizeof(event->ca_name),
		    READ(void *, sk, inet_connection_sock, icsk_ca_ops) + OFFSET(tcp_congestion_ops, name));
	sockets_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

INTERRUPTIBLE_PROGRAM(sockets_end, 0)
