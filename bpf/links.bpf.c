// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * What tc has no qdisc for, as classifiers (tc-bpf(8), direct action): losing listed packets, and a link whose capacity
 * are listed in a capacity file.  Which link a packet is on is its mark, set by the filter before.
 */
#define LINKS_MAX 256
#define LINKS_OPPORTUNITIES (1 << 20)
#define LINKS_SEARCH 21			/* log2(LINKS_OPPORTUNITIES) + 1 */

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2

struct links_listed_key {
	u32 slot;
	u32 number;
};

struct links_counter {
	u64 packets;		/* of those that count */
	u32 least_bytes;	/* shorter ones do not: acknowledgements, handshakes */
	u32 unused;
};

BPF_TABLE("hash", struct links_listed_key, u8, links_listed, 65536);
BPF_ARRAY(links_counters, struct links_counter, LINKS_MAX);

/* At the ingress of the receiving interface. */
int links_lose_listed(struct __sk_buff *skb)
{
	struct links_listed_key key = { .slot = skb->mark };
	struct links_counter *counter = links_counters.lookup(&key.slot);

	skb->mark = 0;
	if (!counter || skb->len < counter->least_bytes)
		return TC_ACT_UNSPEC;
	key.number = ++counter->packets;
	return links_listed.lookup(&key) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

struct links_capacity {
	u64 start_ns;		/* of the first period: bpf_ktime_get_ns() */
	u64 period_ns;		/* after which it begins anew */
	u64 next;		/* the opportunity that the last packet took, counted through all periods */
	u32 used;		/* bytes of it that are taken */
	u32 opportunity_bytes;		/* bytes of each */
	u32 first;		/* its place in links_opportunities */
	u32 count;
	u64 limit_bytes;	/* what may wait */
	u64 dropped;
};

BPF_ARRAY(links_capacities, struct links_capacity, LINKS_MAX);
BPF_ARRAY(links_opportunities, u32, LINKS_OPPORTUNITIES);	/* ms since the start of its period, ascending */

static __always_inline u64 links_time(const struct links_capacity *link, u64 index)
{
	u32 place = link->first + index % link->count;
	u32 *ms = links_opportunities.lookup(&place);

	return link->start_ns + index / link->count * link->period_ns + (ms ? *ms : 0) * 1000000ULL;
}

/* The first opportunity that is not before NOW. */
static __always_inline u64 links_first_from(const struct links_capacity *link, u64 now)
{
	u64 elapsed = now - link->start_ns;
	u64 period = elapsed / link->period_ns, within = elapsed % link->period_ns;
	u32 low = 0, high = link->count;

#pragma unroll
	for (int step = 0; step < LINKS_SEARCH; step++) {
		u32 middle = (low + high) / 2, place = link->first + middle;
		u32 *ms = low < high ? links_opportunities.lookup(&place) : 0;

		if (!ms)
			break;
		if (*ms * 1000000ULL < within)
			low = middle + 1;
		else
			high = middle;
	}
	return period * link->count + low;
}

/*
 * At the egress of the sending interface, above a qdisc (fq) that holds each packet until its skb->tstamp.  A packet
 * leaves with the opportunity that carries its last byte; one that comes when nothing waits takes the next to come, and
 * those that nobody took are lost.
 */
int links_follow_capacity(struct __sk_buff *skb)
{
	u32 slot = skb->mark;
	struct links_capacity *link = links_capacities.lookup(&slot);
	u64 now = bpf_ktime_get_ns(), index, first, waiting;
	u32 length = skb->len, used;

	skb->mark = 0;
	if (!link || !link->count || !link->period_ns || !link->opportunity_bytes)
		return TC_ACT_OK;
	/* Before its start, and while paths are calibrated, the capacity file has not begun: the link is then at its first opportunity. */
	first = now < link->start_ns ? 0 : links_first_from(link, now);
	index = link->next;
	used = link->used;
	if (index < first) {
		index = first;
		used = 0;
	}
	waiting = (index - first) * link->opportunity_bytes + used;
	if (waiting + length > link->limit_bytes + link->opportunity_bytes) {
		link->dropped++;
		return TC_ACT_SHOT;
	}
	if (length > link->opportunity_bytes - used) {
		length -= link->opportunity_bytes - used;
		index += 1 + (length - 1) / link->opportunity_bytes;
		used = length - (length - 1) / link->opportunity_bytes * link->opportunity_bytes;
	} else {
		used += length;
	}
	link->next = index;
	link->used = used;
	skb->tstamp = links_time(link, index);
	return TC_ACT_OK;
}
