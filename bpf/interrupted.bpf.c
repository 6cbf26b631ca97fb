// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Record events that happen in an interrupt while a process is at the same place in the kernel.
 *
 * The kernel never runs a BPF program within itself.  If an interrupt reaches a hook while the hook's program is
 * running for a process (which is working off its socket's backlog, say, or closing it), the kernel skips the program,
 * and the event would be missed.  A second program is therefore attached to each such place.  It runs after the first
 * program and records the event if the first one has not.
 *
 * The first program notes in a table which event it has recorded.  The note is the subject of the event (a segment or a
 * socket), which is never the same for the process and for the interrupt.
 *
 * The loader numbers the places (PLACES, PLACE_<program>).  It puts this file in front of the programs instead of
 * letting them include it, because bcc does not find maps in included files.
 */
#define SLOTS 8	/* makes it unlikely that an interrupt between the two programs overwrites the note of the process */

BPF_PERCPU_ARRAY(places_recorded, u64, PLACES * SLOTS);
BPF_PERCPU_ARRAY(places_nested, u64, PLACES);	/* how often the second program has recorded an event */

/*
 * Returns an argument of the hook as a number.  The verifier considers these arguments pointers and forbids arithmetic
 * on them, so the argument is read from memory instead.
 *
 * The asm statement hides from the compiler that the address is derived from the context.  Otherwise the compiler might
 * also use the computed address for its direct reads of the context, which the verifier allows only at a constant
 * offset from the context's own address.
 */
static __always_inline u64 argument_of(const void *ctx, u32 number)
{
	u64 argument = 0;

	asm volatile("" : "+r"(ctx));
	read_kernel(&argument, sizeof(argument), ctx + number * sizeof(u64));
	return argument;
}

static __always_inline u32 slot_of(u32 place, u64 subject)
{
	/* Kernel objects are at least 64 bytes apart, so the lowest 6 bits of their addresses do not help. */
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

/*
 * Whether this is the second program of its place.  Both are compiled only once: the loader copies the code and writes 0
 * or 1 in place of WHICH_PROGRAM (lab/agent/collectors/bcc_loader.py).
 */
static __always_inline u64 is_second(void)
{
	u64 which;

	asm volatile("%0 = " WHICH_PROGRAM " ll" : "=r"(which));
	return which;
}

/*
 * Defines the program of a place, which calls <program>_record().  `about` is the number of the argument that is the
 * subject of the event.
 */
#define INTERRUPTIBLE_PROGRAM(program, about) \
	int program(struct bpf_raw_tracepoint_args *ctx) \
	{ \
		if (is_second()) { \
			if (!is_missing(PLACE_##program, argument_of(ctx, about))) \
				return 0; \
		} else { \
			leave_recorded(PLACE_##program, argument_of(ctx, about)); \
		} \
		return program##_record(ctx); \
	}
