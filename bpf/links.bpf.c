// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Link properties for which tc has no qdisc, as classifiers in direct-action mode (tc-bpf(8)): one program loses the
 * packets whose numbers are listed, the other lets packets leave at the times that a capacity file lists.
 *
 * The mark of a packet (skb->mark) is the slot of its link in the maps.  The filter in front of the program sets it.
 */
#define LINKS_MAX 256
#define LINKS_OPPORTUNITIES (1 << 20)
#define LINKS_SEARCH 21			/* log2(LINKS_OPPORTUNITIES) + 1 */

struct links_listed_key {
	u32 slot;
	u32 number;
};

struct links_counter {
	u64 packets;		/* number of packets counted so far */
	u32 least_bytes;	/* shorter packets (ACKs, handshakes) are not counted */
	u32 unused;
};

BPF_TABLE("hash", struct links_listed_key, u8, links_listed, 65536);
BPF_ARRAY(links_counters, struct links_counter, LINKS_MAX);

/* Loses listed packets; attached to the ingress of the receiving interface. */
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
	u64 start_ns;		/* start of the first period, as bpf_ktime_get_ns() gives it; may be before the boot (wrapped) */
	u64 period_ns;		/* time after which the capacity file starts again */
	u64 next;		/* opportunity in which the last packet left, counted through all periods */
	u32 used;		/* bytes of this opportunity that are used */
	u32 opportunity_bytes;	/* bytes that can leave in one opportunity */
	u32 first;		/* index of the file's first opportunity in links_opportunities */
	u32 count;		/* number of opportunities in a period */
	u64 limit_bytes;	/* bytes that may wait */
	u64 dropped;		/* number of packets dropped because too many bytes were waiting */
};

BPF_ARRAY(links_capacities, struct links_capacity, LINKS_MAX);
BPF_ARRAY(links_opportunities, u32, LINKS_OPPORTUNITIES);	/* ms since start of period, ascending for each link */

/* The time of an opportunity that is counted through all periods. */
static __always_inline u64 links_time(const struct links_capacity *link, u64 index)
{
	u32 place = link->first + index % link->count;
	u32 *ms = links_opportunities.lookup(&place);

	return link->start_ns + index / link->count * link->period_ns + (ms ? *ms : 0) * 1000000ULL;
}

/* The first opportunity at or after `now`, counted through all periods. */
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
 * Sets the departure time of each packet; attached to the egress of the sending interface, above a qdisc (fq) that
 * holds the packet until its skb->tstamp.  A packet leaves in the opportunity that carries its last byte.  A packet
 * that arrives when none is waiting uses the next opportunity; earlier opportunities that no packet used are lost.
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
	/* Before its start time, the capacity file has not begun, and the link is at its first opportunity. */
	first = (s64)(now - link->start_ns) < 0 ? 0 : links_first_from(link, now);
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
