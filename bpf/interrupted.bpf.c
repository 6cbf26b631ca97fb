// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The kernel does not run a program within itself: what an interrupt does while a process is at the same place, working
 * off its socket's backlog or closing it, would be missed.  So a second program hangs at each such place, and records
 * when it finds the first one at work.  The loader numbers the places (PLACES, PLACE_<program>),
 * and puts this before the programs: of what is included, bcc would not see the maps.
 */
BPF_PERCPU_ARRAY(places_busy, u64, PLACES);
BPF_PERCPU_ARRAY(places_nested, u64, PLACES);	/* how often the second program recorded */

static __always_inline void set_busy(u32 place, u64 is_busy)
{
	u64 *busy = places_busy.lookup(&place);

	if (busy)
		*busy = is_busy;
}

static __always_inline int count_nested(u32 place)
{
	u64 *busy = places_busy.lookup(&place), *nested = places_nested.lookup(&place);

	if (!busy || !*busy || !nested)
		return 0;
	++*nested;
	return 1;
}

/* What <program>_record() does, at its place.  (bcc takes one program from a macro.) */
#define FIRST_PROGRAM(program) \
	int program(struct bpf_raw_tracepoint_args *ctx) \
	{ \
		set_busy(PLACE_##program, 1); \
		program##_record(ctx); \
		set_busy(PLACE_##program, 0); \
		return 0; \
	}

#define SECOND_PROGRAM(program) \
	int program##_within(struct bpf_raw_tracepoint_args *ctx) \
	{ \
		return count_nested(PLACE_##program) ? program##_record(ctx) : 0; \
	}
