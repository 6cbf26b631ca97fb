// SPDX-License-Identifier: Apache-2.0
/*
 * This library is preloaded into QEMU.  It prevents QEMU's main loop and its virtual processor from running at the same
 * time, so that trials are reproducible.
 *
 * With -icount, QEMU's clock counts the guest's instructions, but the processor's thread adds the instructions that it
 * has executed to the count only when it returns from guest code.  When the guest halts, the main loop advances the
 * clock to the next timer.  The main loop considers the processor halted as soon as the processor has executed HLT,
 * which is a moment before its last instructions are added (softmmu/icount.c, icount_start_warp_timer();
 * accel/tcg/tcg-accel-ops-rr.c).  If the host happens to run the main loop in that moment, the clock advances too far
 * by those instructions.  The error is a few nanoseconds and occurs once in some minutes on one host processor and
 * every few seconds on two, but it means that two runs of the same trial are no longer identical to the byte.
 *
 * Therefore the two threads take turns.  They pass the turn only at points that the guest's own instructions determine:
 * the processor passes it when it waits for work, and the main loop passes it when it is about to poll and the
 * processor has been given something to do.  Timers that expire while the guest runs do not need the main loop: the
 * processor's thread runs them itself when its instruction budget, which ends at the next timer, is used up.  Taking
 * turns is also faster, because the threads no longer wake each other needlessly.
 *
 * A timer of the host's clock would need the main loop while the guest is busy, and would not get it.  The machines
 * here have no such timer (lab/engine/vm/machine.py switches off the one that a restored machine would start).
 *
 * The library only replaces functions of libc, and only changes how the two threads wait.  It does not change what QEMU
 * computes.
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
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum turn { MAIN_LOOP, PROCESSOR };
enum role { UNKNOWN, IS_MAIN_LOOP, IS_PROCESSOR, IS_OTHER };

/* The name that QEMU gives to the processor's thread with -name debug-threads=on. */
static const char processor_thread[] = "ALL CPUs/TCG";

static struct {
	int (*ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
	int (*poll)(struct pollfd *, nfds_t, int);
	int (*cond_wait)(pthread_cond_t *, pthread_mutex_t *);
	int (*cond_broadcast)(pthread_cond_t *);
} libc;

static atomic_int turn = MAIN_LOOP;
static atomic_int has_work;			/* the processor has been given work since it last passed the turn */
static _Atomic(pthread_mutex_t *) big_lock;	/* the mutex that the processor holds when it starts to wait */
static _Atomic(pthread_cond_t *) halted;	/* the condition for which it waits */

static __thread enum role role;

static void *versioned(const char *name)
{
	/* glibc also has an older version of condition variables, with another layout; x86-64 programs use this one. */
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

/* Constructors of other libraries may call the functions below before this library's own constructor has run. */
static inline void ready(void)
{
	if (!libc.ppoll)
		resolve();
}

__attribute__((constructor)) static void begin(void)
{
	ready();
	role = IS_MAIN_LOOP;
	/* The dynamic loader has started QEMU, and ps would show its name. */
	prctl(PR_SET_NAME, "qemu-system-x86");
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

/* Waits until the turn comes back.  The caller then checks its condition again, as after any spurious wake-up. */
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

/* QEMU also polls while it holds the big lock.  The processor could do nothing then, so the turn must not be passed. */
static int big_lock_is_free(void)
{
	pthread_mutex_t *mutex = atomic_load(&big_lock);

	if (pthread_mutex_trylock(mutex) != 0)
		return 0;
	pthread_mutex_unlock(mutex);
	return 1;
}

/*
 * The thread that serves QMP is woken whenever the clock advances, although it has nothing to do.  At the lowest
 * priority, it ignores these wake-ups while the guest runs.  This does not delay commands, because they are given while
 * the machine is stopped.
 */
static void yield_to_guest(void)
{
	static __thread int yields;
	const struct sched_param lowest = {0};

	if (yields || !atomic_load(&halted))
		return;
	sched_setscheduler(0, SCHED_IDLE, &lowest);
	yields = 1;
}

/* Which of the two functions the thread that serves QMP calls depends on the version of GLib. */
int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	static const struct timespec at_once;
	int result;

	ready();
	if (role != IS_MAIN_LOOP)
		yield_to_guest();
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
	ready();
	if (role != IS_MAIN_LOOP)
		yield_to_guest();
	return libc.poll(fds, count, timeout);
}
