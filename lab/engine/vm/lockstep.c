// SPDX-License-Identifier: Apache-2.0
/*
 * Preloaded into QEMU: its main loop and its virtual processor never run at the same time.
 *
 * With -icount, QEMU's clock counts the guest's instructions, but a processor's thread adds up what it has executed
 * only when it comes back from the guest.  When the guest halts, the main loop moves the clock on to the next timer.
 * It takes a processor for halted as soon as that has executed HLT, which is a moment before its last instructions
 * are added (softmmu/icount.c, icount_start_warp_timer(); accel/tcg/tcg-accel-ops-rr.c).  If the host happens to run
 * the main loop in that moment, the clock goes too far by those instructions: a few nanoseconds, once in some minutes
 * on one host processor, every few seconds on two, and the trial is not the same to the byte any more.
 *
 * So the two threads take turns, and pass the turn only at points that the guest's own instructions determine:
 * the processor when it waits for work, the main loop when it is about to poll and the processor has been given
 * something to do.  Timers that expire while the guest runs do not need the main loop: the processor's thread runs them
 * itself when its budget of instructions, which ends at the next timer, is used up.  That the threads no longer wake each
 * other needlessly is faster, too.
 *
 * A timer of the host's clock would need the main loop while the guest is busy, and never get it; the machines here have
 * none (lab/engine/vm/machine.py switches off the one that a restored machine starts).
 *
 * Only libc's functions are replaced, and only how the two threads wait: what QEMU computes is its own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum turn { MAIN_LOOP, PROCESSOR };
enum role { UNKNOWN, IS_MAIN_LOOP, IS_PROCESSOR, IS_OTHER };

/* As QEMU names it with -name debug-threads=on. */
static const char processor_thread[] = "ALL CPUs/TCG";

static struct {
	int (*ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
	int (*poll)(struct pollfd *, nfds_t, int);
	int (*cond_wait)(pthread_cond_t *, pthread_mutex_t *);
	int (*cond_broadcast)(pthread_cond_t *);
} libc;

static atomic_int turn = MAIN_LOOP;
static atomic_int has_work;			/* the processor does, since it last gave up its turn */
static _Atomic(pthread_mutex_t *) big_lock;	/* what the processor holds when it waits */
static _Atomic(pthread_cond_t *) halted;	/* what it waits for */

static __thread enum role role;

static void *versioned(const char *name)
{
	/* Condition variables have an older version with another layout; x86-64 programs use this one. */
	void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");

	return found ? found : dlsym(RTLD_NEXT, name);
}

static void resolve(void)
{
	libc.poll = dlsym(RTLD_NEXT, "poll");
	libc.cond_wait = versioned("pthread_cond_wait");
	libc.cond_broadcast = versioned("pthread_cond_broadcast");
	libc.ppoll = dlsym(RTLD_NEXT, "ppoll");
}

/* Other libraries' constructors call these functions before our own has run. */
static inline void ready(void)
{
	if (!libc.ppoll)
		resolve();
}

__attribute__((constructor)) static void begin(void)
{
	ready();
	/* The commands that start QEMU, and those it starts, only pass through. */
	if (strncmp(program_invocation_short_name, "qemu-system-", 12) == 0) {
		role = IS_MAIN_LOOP;
		unsetenv("LD_PRELOAD");
	}
}

static enum role my_role(void)
{
	char name[16] = "";

	if (role == UNKNOWN && atomic_load(&halted))
		role = IS_OTHER;
	if (role == UNKNOWN) {
		pthread_getname_np(pthread_self(), name, sizeof(name));
		if (strcmp(name, processor_thread) == 0)
			role = IS_PROCESSOR;
	}
	return role;
}

static void pass_turn_to(enum turn other)
{
	atomic_store(&turn, other);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void await_turn(enum turn mine)
{
	int now;

	while ((now = atomic_load(&turn)) != (int)mine)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
}

/* Waiting ends when the turn comes back; the caller looks at its condition again, as after any spurious wake-up. */
static int wait_for_turn(enum turn mine, enum turn other, pthread_mutex_t *mutex)
{
	pthread_mutex_unlock(mutex);
	pass_turn_to(other);
	await_turn(mine);
	return pthread_mutex_lock(mutex);
}

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	ready();
	switch (my_role()) {
	case IS_PROCESSOR:
		atomic_store(&big_lock, mutex);
		atomic_store(&halted, cond);
		return wait_for_turn(PROCESSOR, MAIN_LOOP, mutex);
	case IS_MAIN_LOOP:
		if (mutex == atomic_load(&big_lock) && atomic_exchange(&has_work, 0))
			return wait_for_turn(MAIN_LOOP, PROCESSOR, mutex);
		/* fallthrough */
	default:
		return libc.cond_wait(cond, mutex);
	}
}

int pthread_cond_broadcast(pthread_cond_t *cond)
{
	ready();
	if (cond == atomic_load(&halted))
		atomic_store(&has_work, 1);
	return libc.cond_broadcast(cond);
}

/* QEMU also polls in the middle of something, with the big lock held; the processor could do nothing then. */
static int big_lock_is_free(void)
{
	pthread_mutex_t *mutex = atomic_load(&big_lock);

	if (pthread_mutex_trylock(mutex) != 0)
		return 0;
	pthread_mutex_unlock(mutex);
	return 1;
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	static const struct timespec at_once;
	int result;

	ready();
	if (role != IS_MAIN_LOOP || !atomic_load(&halted))
		return libc.ppoll(fds, count, timeout, mask);
	if (atomic_load(&has_work)) {
		if (big_lock_is_free()) {
			atomic_store(&has_work, 0);
			pass_turn_to(PROCESSOR);
			await_turn(MAIN_LOOP);
		}
		return libc.ppoll(fds, count, &at_once, mask);
	}
	result = libc.ppoll(fds, count, &at_once, mask);
	return result ? result : libc.ppoll(fds, count, timeout, mask);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	static __thread int yields;

	ready();
	/*
	 * QMP's own thread is woken whenever the clock moves, with nothing to do.  At the lowest priority these
	 * wake-ups pile up unseen while the guest runs; a command meets a machine that is stopped.
	 */
	if (!yields && role != IS_MAIN_LOOP && atomic_load(&halted)) {
		const struct sched_param lowest = {0};

		sched_setscheduler(0, SCHED_IDLE, &lowest);
		yields = 1;
	}
	return libc.poll(fds, count, timeout);
}
