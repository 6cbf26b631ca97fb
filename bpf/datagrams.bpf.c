// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Jitter and reordering of a UDP flow's datagrams, and how many of those that left in the measured window arrived.
 *
 * Jitter is that of RFC 3550 (section 6.4.1, appendix A.8), with the kernel's own times of departure and arrival.
 * Reordering and its extent are those of RFC 4737 (sections 3 and 4.2).  All are over datagrams in their order of
 * arrival, without further copies.  The numbers of datagrams are those that iperf3 gives them.  No event is written.
 */
#define DATAGRAMS_DEPARTURES_BITS 16
#define DATAGRAMS_JUMPS 32
#define DATAGRAMS_FLOW_STRIDE 40503u	/* between the places of the same number in two flows */

/* When a datagram left its host.  A place is used again after 65,536 further departures. */
struct datagrams_departure {
	u64 key;		/* flow << 32 | number */
	u64 sent_ns;
};

/* A datagram that arrived before others with lower numbers, which it has overtaken unless they are lost. */
struct datagrams_jump {
	u32 first_number;	/* the lowest of those that no datagram had overtaken before */
	u32 arrival;		/* how many datagrams had arrived, this one included */
};

struct datagrams_stream {
	/* Of the whole flow. */
	u64 transit_ns;		/* of the latest datagram, from its departure to its arrival */
	u64 jitter;		/* J of RFC 3550, in 1/16 ns */
	u32 next_number;	/* NextExp of RFC 4737: one more than the highest number that has arrived; 0: none has */
	u32 arrivals;		/* datagrams that have arrived */
	struct datagrams_jump jump[DATAGRAMS_JUMPS];	/* the latest, in a ring */
	u32 jumps;		/* all of them */
	/* Of the measured window. */
	u32 extent_max;
	u32 left_first;		/* numbers of the first and the last datagram that left */
	u32 left_last;
	u64 left;		/* datagrams that left */
	u64 left_arrived;	/* of these, those that have arrived, in the window or later */
	u64 arrived;		/* datagrams that arrived */
	u64 reordered;
	u64 extents;		/* reordered datagrams whose extent is known */
	u64 extent_sum;
	u64 jitter_sum_ns;	/* J after each datagram */
	u64 jitter_last_ns;
};

BPF_ARRAY(datagrams_departures, struct datagrams_departure, 1 << DATAGRAMS_DEPARTURES_BITS);
BPF_ARRAY(datagrams_streams, struct datagrams_stream, FLOWS_MAX);

static __always_inline struct datagrams_departure *datagrams_departure_of(u32 flow, u32 number)
{
	u32 place = (flow * DATAGRAMS_FLOW_STRIDE + number) & ((1 << DATAGRAMS_DEPARTURES_BITS) - 1);

	return datagrams_departures.lookup(&place);
}

static __always_inline void datagrams_leave(const struct flows_connection *connection, u32 number, u64 now)
{
	u32 flow = connection->flow;
	struct datagrams_departure *departure = datagrams_departure_of(flow, number);
	struct datagrams_stream *stream = datagrams_streams.lookup(&flow);

	if (!departure || !stream)
		return;
	departure->key = (u64)flow << 32 | number;
	departure->sent_ns = now;
	if (!flows_is_measured(connection, now))
		return;
	if (!stream->left++)
		stream->left_first = number;
	stream->left_last = number;
}

/*
 * How many datagrams have arrived since the first one that overtook the datagram with this number, which arrives now.
 * Jumps are in order of the numbers that they skip.  Returns 0 if the jump is not among the latest.
 */
static __always_inline u32 datagrams_extent(const struct datagrams_stream *stream, u32 number)
{
	u32 back;

	for (back = 1; back <= DATAGRAMS_JUMPS && back <= stream->jumps; back++) {
		const struct datagrams_jump *jump = &stream->jump[(stream->jumps - back) % DATAGRAMS_JUMPS];

		if (jump->first_number <= number)
			return stream->arrivals - jump->arrival;
	}
	return 0;
}

/* For the first copy of each datagram. */
static __always_inline void datagrams_arrive(const struct flows_connection *connection, u32 number, u64 now)
{
	u32 flow = connection->flow, is_reordered, extent = 0;
	struct datagrams_departure *departure = datagrams_departure_of(flow, number);
	struct datagrams_stream *stream = datagrams_streams.lookup(&flow);
	u64 transit_ns;
	s64 difference;

	if (!departure || !stream)
		return;
	if (stream->left && number - stream->left_first <= stream->left_last - stream->left_first)
		stream->left_arrived++;
	if (departure->key != ((u64)flow << 32 | number))
		return;	/* netem has flipped a bit of the number, or the place has been used again */
	transit_ns = now - departure->sent_ns;
	difference = transit_ns - stream->transit_ns;
	if (stream->next_number)
		stream->jitter += (difference < 0 ? -difference : difference) - ((stream->jitter + 8) >> 4);
	stream->transit_ns = transit_ns;
	stream->arrivals++;
	is_reordered = number < stream->next_number;
	if (is_reordered) {
		extent = datagrams_extent(stream, number);
	} else {
		if (number > stream->next_number) {
			struct datagrams_jump *jump = &stream->jump[stream->jumps++ % DATAGRAMS_JUMPS];

			jump->first_number = stream->next_number;
			jump->arrival = stream->arrivals;
		}
		stream->next_number = number + 1;
	}
	if (!flows_is_measured(connection, now))
		return;
	stream->arrived++;
	stream->reordered += is_reordered;
	stream->extents += extent > 0;
	stream->extent_sum += extent;
	if (extent > stream->extent_max)
		stream->extent_max = extent;
	stream->jitter_last_ns = stream->jitter >> 4;
	stream->jitter_sum_ns += stream->jitter_last_ns;
}
