// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Every ACK a sender receives: the kernel's tcp:tcp_probe tracepoint, which fires at the top of
 * tcp_rcv_established() (net/ipv4/tcp_input.c), so the values are those from before the segment.
 */
#include "events.h"

struct tcp_probe_config {
	u16 port_low;		/* record sockets whose remote port is in [port_low, port_high] */
	u16 port_high;
	u16 cwnd_change_only;	/* ... only when snd_cwnd or ssthresh is not what it was */
	u16 unused;
};

BPF_ARRAY(tcp_probe_config, struct tcp_probe_config, 1);
BPF_ARRAY(tcp_probe_lost, u64, 1);
BPF_TABLE("lru_hash", u64, u64, tcp_probe_last_window, 16384);
BPF_RINGBUF_OUTPUT(tcp_probe_events, TCP_PROBE_RING_PAGES);

static __always_inline void tcp_probe_address(u8 *to, const void *sockaddr, u16 family)
{
	u32 *words = (u32 *)to;

	/* Through the helper: the verifier refuses an offset into the context that depends on the family. */
	if (family == 10 /* AF_INET6, struct sockaddr_in6 */) {
		bpf_probe_read_kernel(to, 16, sockaddr + 8);
	} else {
		words[0] = 0;
		words[1] = 0;
		words[2] = bpf_htonl(0xffff);
		bpf_probe_read_kernel(&words[3], 4, sockaddr + 4);
	}
}

TRACEPOINT_PROBE(tcp, tcp_probe)
{
	struct tcp_probe_event *event;
	struct tcp_probe_config *config;
	u32 zero = 0, cwnd = args->snd_cwnd;
	u64 cookie = args->sock_cookie;
	u16 dport = args->dport;

	config = tcp_probe_config.lookup(&zero);
	if (!config || dport < config->port_low || dport > config->port_high)
		return 0;

	if (config->cwnd_change_only) {
		u64 window = (u64)args->ssthresh << 32 | cwnd;
		u64 *last = tcp_probe_last_window.lookup(&cookie);

		if (last && *last == window)
			return 0;
		tcp_probe_last_window.update(&cookie, &window);
	}

	event = tcp_probe_events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		u64 *lost = tcp_probe_lost.lookup(&zero);

		if (lost)
			__sync_fetch_and_add(lost, 1);
		return 0;
	}

	event->ts_ns = bpf_ktime_get_ns();
	event->sock_cookie = cookie;
	tcp_probe_address(event->saddr, args->saddr, args->family);
	tcp_probe_address(event->daddr, args->daddr, args->family);
	event->snd_nxt = args->snd_nxt;
	event->snd_una = args->snd_una;
	event->snd_cwnd = cwnd;
	event->ssthresh = args->ssthresh;
	event->snd_wnd = args->snd_wnd;
	event->srtt_us = args->srtt;
	event->rcv_wnd = args->rcv_wnd;
	event->mark = args->mark;
	event->data_len = args->data_len;
	event->sport = args->sport;
	event->dport = dport;
	event->family = args->family;

	/* Read in bulk, at the reader's own pace: waking it for every event would disturb the trial. */
	tcp_probe_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}
