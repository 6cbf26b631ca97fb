// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The kernel does not run a program within itself: what an interrupt does while a process is at the same place, working
 * off its socket's backlog or closing it, would be missed.  So a second program hangs at each such place, runs after the
 * first one, and records what the first one has not.  The first one leaves what it has recorded in a table, by what the
 * event is about (a segment, a socket), which is never the same in the process and in what interrupts it.
 * The loader numbers the places (PLACES, PLACE_<program>), and puts this before the programs: of what is included, bcc
 * would not see the maps.
 */
#define SLOTS 8	/* an interrupt between the two programs must not be given the same one */

BPF_PERCPU_ARRAY(places_recorded, u64, PLACES * SLOTS);
BPF_PERCPU_ARRAY(places_nested, u64, PLACES);	/* how often the second program recorded */

/*
 * As a number: the verifier knows arguments for pointers, and lets nobody calculate with them.  The address is worked
 * out from a copy that the compiler cannot tell to be the context: of that, only its own address plus a constant may be
 * read, which the compiler would not stick to if it had the sum at hand.
 */
static __always_inline u64 argument_of(const void *ctx, u32 number)
{
	u64 argument = 0;

	asm volatile("" : "+r"(ctx));
	bpf_probe_read_kernel(&argument, sizeof(argument), ctx + number * sizeof(u64));
	return argument;
}

static __always_inline u32 slot_of(u32 place, u64 subject)
{
	/* Kernel objects lie 64 bytes apart and more. */
	return place * SLOTS + ((subject >> 6 ^ subject >> 12) & (SLOTS - 1));
}

static __always_inline void leave_recorded(u32 place, u64 subject)
{
	u32 slot = slot_of(place, subject);
	u64 *recorded = places_recorded.lookup(&slot);

	if (recorded)
		*recorded = subject;
}

static __always_inline int is_missing(u32 place, u64 subject)
{
	u32 slot = slot_of(place, subject);
	u64 *recorded = places_recorded.lookup(&slot), *nested = places_nested.lookup(&place);

	if (!recorded || !nested)
		return 0;
	if (*recorded == subject) {
		*recorded = 0;
		return 0;
	}
	++*nested;
	return 1;
}

/* What <program>_record() does, at its place; `about` is the argument that events differ by.  (bcc takes one program
 * from a macro.) */
#define FIRST_PROGRAM(program, about) \
	int program(struct bpf_raw_tracepoint_args *ctx) \
	{ \
		program##_record(ctx); \
		leave_recorded(PLACE_##program, argument_of(ctx, about)); \
		return 0; \
	}

#define SECOND_PROGRAM(program, about) \
	int program##_within(struct bpf_raw_tracepoint_args *ctx) \
	{ \
		return is_missing(PLACE_##program, argument_of(ctx, about)) ? program##_record(ctx) : 0; \
	}
