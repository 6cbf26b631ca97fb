// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Count the bytes that processes send and receive over each TCP connection: those that tcp_sendmsg() has accepted, and
 * those that have left the receive queue (net/ipv4/tcp.c).  The map flow_totals holds the totals, which the agent reads
 * at intervals.
 *
 * Whatever takes bytes from the receive queue calls tcp_cleanup_rbuf() before it releases the socket's lock.  But the
 * argument `copied` of that function does not say how many bytes have been read since the last call:
 * - A recvmsg() that waits for more (MSG_WAITALL, SO_RCVLOWAT) calls it before each wait with what it has so far.
 * - With MSG_PEEK, it is the number of bytes that were copied and stay in the queue.
 * - The socket option TCP_QUICKACK calls it with 1.
 * The number of bytes is therefore by how much copied_seq of struct tcp_sock, the sequence number of the next byte to
 * be read, has grown.  Urgent data, which are read in another way (tcp_recv_urg()), are not counted, nor are MPTCP's.
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
/* The agent takes totals out when it is half full (lab/agent/collectors/flow_totals.py). */
BPF_TABLE("hash", struct flow_key, struct flow_total, flow_totals, 16384);
BPF_TABLE("lru_hash", u64, u32, flow_read, 65536);	/* cookie of a socket -> flow_next_to_read() of the last call */

/* Returns whether the connection is recorded, and reads its ends.  `sk` is a result of to_tcp_sock(); so it is below. */
static __always_inline int flow_is_wanted(const void *sk, struct endpoints *ends)
{
	u32 zero = 0;
	struct filter *filter = flow_filter.lookup(&zero);

#if HAVE(tcp_sock, is_mptcp)
	if (LOAD(u8, sk, tcp_sock, is_mptcp))
		return 0;	/* copied_seq of a subflow does not follow what the process reads */
#endif
	if (!filter)
		return 0;
	load_tcp_endpoints(sk, ends);
	return is_wanted(filter, ends);
}

static __always_inline int flow_add(const struct endpoints *ends, u64 sent, u64 received)
{
	u32 zero = 0, pid = bpf_get_current_pid_tgid() >> 32;
	struct flow_key key = {};
	struct flow_total none = {}, *total;
	struct flow_config *config = flow_config.lookup(&zero);

	if (!config || (config->pid && config->pid != pid))
		return 0;
	key.saddr[0] = ends->saddr[0];
	key.saddr[1] = ends->saddr[1];
	key.daddr[0] = ends->daddr[0];
	key.daddr[1] = ends->daddr[1];
	key.pid = pid;
	key.netns = ends->netns;
	key.sport = ends->sport;
	key.dport = ends->dport;
	key.family = ends->family;
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

static __always_inline int flow_send(const void *socket, s32 sent)
{
	struct endpoints ends;
	const void *sk = to_tcp_sock(socket);

	return sk && sent > 0 && flow_is_wanted(sk, &ends) ? flow_add(&ends, sent, 0) : 0;
}

/* When this returns: int tcp_sendmsg(struct sock *sk, struct msghdr *msg, size_t size).  Argument 3 is its result. */
int flow_sent(struct bpf_raw_tracepoint_args *ctx)
{
	return flow_send((const void *)ctx->args[0], ctx->args[3]);
}

/*
 * When this returns: int tcp_sendpage(struct sock *sk, struct page *page, int offset, size_t size, int flags).  Before
 * Linux 6.5, sendfile() and splice() call it instead of tcp_sendmsg().
 */
int flow_sent_page(struct bpf_raw_tracepoint_args *ctx)
{
	return flow_send((const void *)ctx->args[0], ctx->args[5]);
}

/* The sequence number of the next byte to be read, as if the FIN did not count. */
static __always_inline u32 flow_next_to_read(const void *sk)
{
	u32 next = LOAD(u32, sk, tcp_sock, copied_seq);
	int has_fin = LOAD(u64, sk, sock_common, skc_flags) >> SOCK_DONE & 1;

	return next - (has_fin && next == LOAD(u32, sk, tcp_sock, rcv_nxt));
}

/*
 * When this is entered: int tcp_recvmsg(struct sock *sk, ...).  If the connection was there before recording began,
 * nothing else says where its first read begins.  Kernels that allow no programs at functions do without.
 */
int flow_begins(struct bpf_raw_tracepoint_args *ctx)
{
	void *socket = (void *)ctx->args[0];
	const void *sk;
	u64 cookie = bpf_get_socket_cookie(socket);
	u32 next;
	struct endpoints ends;

	if (flow_read.lookup(&cookie))
		return 0;
	sk = to_tcp_sock(socket);
	if (!sk || !flow_is_wanted(sk, &ends))
		return 0;
	next = flow_next_to_read(sk);
	flow_read.insert(&cookie, &next);
	return 0;
}

/* When this is entered: void tcp_cleanup_rbuf(struct sock *sk, int copied).  The process has locked the socket. */
int flow_received(struct bpf_raw_tracepoint_args *ctx)
{
	void *socket = (void *)ctx->args[0];
	const void *sk = to_tcp_sock(socket);
	s32 copied = ctx->args[1];
	u64 cookie = bpf_get_socket_cookie(socket);
	u64 received = copied, ever;
	u32 next, *last;
	struct endpoints ends;

	if (!sk || copied < 0 || !flow_is_wanted(sk, &ends))
		return 0;
	next = flow_next_to_read(sk);
	/* What has been read of this connection, by whomever: what has arrived in order without what waits. */
	ever = LOAD(u64, sk, tcp_sock, bytes_received) - (LOAD(u32, sk, tcp_sock, rcv_nxt) - next);
	last = flow_read.lookup(&cookie);
	/*
	 * `copied` is the most that can have been read, and so is `ever`.  They decide if the socket is not known yet, if
	 * a second connection uses it, and if copied_seq has stepped over an urgent byte.
	 */
	if (received > ever)
		received = ever;
	if (last && received > next - *last)
		received = next - *last;
	if (!last && received == 1 && ever > 1)
		received = 0;	/* probably TCP_QUICKACK: recvmsg() would have made the socket known */
	if (last)
		*last = next;
	else
		flow_read.update(&cookie, &next);
	return received ? flow_add(&ends, 0, received) : 0;
}
