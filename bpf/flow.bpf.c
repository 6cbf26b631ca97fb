// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Count the bytes that processes send and receive over each TCP connection: those that tcp_sendmsg() has accepted and
 * those that tcp_cleanup_rbuf() has handed to the process (net/ipv4/tcp.c).  The map flow_totals holds the totals,
 * which the agent reads at intervals.
 */
struct flow_key {
	u64 saddr[2];
	u64 daddr[2];
	u8 comm[16];
	u32 pid;
	u32 netns;
	u16 sport;
	u16 dport;
	u16 family;
	u16 unused;
};

struct flow_total {
	u64 tx_bytes;
	u64 rx_bytes;
};

struct flow_config {
	u32 pid;		/* the only process to count; 0 for all processes */
	u32 unused;
};

BPF_ARRAY(flow_filter, struct filter, 1);
BPF_ARRAY(flow_config, struct flow_config, 1);
BPF_ARRAY(flow_lost, u64, 1);
BPF_TABLE("hash", struct flow_key, struct flow_total, flow_totals, 16384);

static __always_inline int flow_add(const void *sk, u64 sent, u64 received)
{
	u32 zero = 0, pid = bpf_get_current_pid_tgid() >> 32;
	struct endpoints ends;
	struct flow_key key = {};
	struct flow_total none = {}, *total;
	struct filter *filter = flow_filter.lookup(&zero);
	struct flow_config *config = flow_config.lookup(&zero);

	if (!filter || !config || (config->pid && config->pid != pid))
		return 0;
	read_socket_endpoints(sk, &ends);
	if (!is_wanted(filter, &ends))
		return 0;
	key.saddr[0] = ends.saddr[0];
	key.saddr[1] = ends.saddr[1];
	key.daddr[0] = ends.daddr[0];
	key.daddr[1] = ends.daddr[1];
	key.pid = pid;
	key.netns = ends.netns;
	key.sport = ends.sport;
	key.dport = ends.dport;
	key.family = ends.family;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	total = flow_totals.lookup_or_try_init(&key, &none);
	if (!total) {
		count_lost(flow_lost.lookup(&zero));
		return 0;
	}
	if (sent)
		__sync_fetch_and_add(&total->tx_bytes, sent);
	if (received)
		__sync_fetch_and_add(&total->rx_bytes, received);
	return 0;
}

/* When this returns: int tcp_sendmsg(struct sock *sk, struct msghdr *msg, size_t size).  Argument 3 is its result. */
int flow_sent(struct bpf_raw_tracepoint_args *ctx)
{
	s32 sent = ctx->args[3];

	return sent > 0 ? flow_add((const void *)ctx->args[0], sent, 0) : 0;
}

/* When this is entered: void tcp_cleanup_rbuf(struct sock *sk, int copied). */
int flow_received(struct bpf_raw_tracepoint_args *ctx)
{
	s32 copied = ctx->args[1];

	return copied > 0 ? flow_add((const void *)ctx->args[0], 0, copied) : 0;
}
