// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record one event per connection when it ends: its owner, its duration and the bytes that it carried.
 *
 * As in bcc's tcplife, a connection begins when its socket enters a state before FIN_WAIT1.  Its owner is the process
 * that was running when the connection was opened (SYN_SENT) or shut down (FIN_WAIT1, LAST_ACK), because at these times
 * it is the application that is running.
 */
struct life_owner {
	u8 comm[16];
	u32 pid;
	u32 unused;
};

BPF_ARRAY(life_filter, struct filter, 1);
BPF_ARRAY(life_lost, u64, 1);
BPF_TABLE("lru_hash", u64, u64, life_birth, 65536);
BPF_TABLE("lru_hash", u64, struct life_owner, life_owners, 65536);
BPF_RINGBUF_OUTPUT(life_events, LIFE_RING_PAGES);

static __always_inline void life_who_runs(struct life_owner *owner)
{
	owner->pid = bpf_get_current_pid_tgid() >> 32;
	owner->unused = 0;
	bpf_get_current_comm(owner->comm, sizeof(owner->comm));
}

static __always_inline int life_change_record(struct bpf_raw_tracepoint_args *ctx)
{
	void *sk = (void *)ctx->args[0];
	u8 newstate = ctx->args[2];
	u64 key = (u64)sk, now = bpf_ktime_get_ns();
	u32 zero = 0;
	u64 *birth;
	struct life_owner owner, *known;
	struct endpoints ends;
	struct life_event *event;
	struct filter *filter = life_filter.lookup(&zero);

	if (!filter || READ(u16, sk, sock, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (newstate < TCP_FIN_WAIT1)
		life_birth.update(&key, &now);
	if (newstate == TCP_SYN_SENT || newstate == TCP_FIN_WAIT1 || newstate == TCP_LAST_ACK) {
		life_who_runs(&owner);
		life_owners.update(&key, &owner);
	}
	if (newstate != TCP_CLOSE)
		return 0;

	birth = life_birth.lookup(&key);
	read_socket_endpoints(sk, &ends);
	if (birth && is_wanted(filter, &ends)) {
		event = life_events.ringbuf_reserve(sizeof(struct life_event));
		if (event) {
			event->ts_ns = now;
			event->duration_ns = now - *birth;
			event->tx_bytes = READ(u64, sk, tcp_sock, bytes_acked);
			event->rx_bytes = READ(u64, sk, tcp_sock, bytes_received);
			SET_ENDPOINTS(event, &ends);
			known = life_owners.lookup(&key);
			if (known)
				owner = *known;
			else
				life_who_runs(&owner);
			event->pid = owner.pid;
			__builtin_memcpy(event->comm, owner.comm, 16);
			event->unused = 0;
			life_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
		} else {
			count_lost(life_lost.lookup(&zero));
		}
	}
	life_birth.delete(&key);
	life_owners.delete(&key);
	return 0;
}

INTERRUPTIBLE_PROGRAM(life_change, 0)
