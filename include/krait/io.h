/* SPDX-License-Identifier: MIT
 *
 * krait/io.h - what all waiting calls have in common.
 *
 * A thread that has waited in one of them owns an eventfd from then on, through
 * which others wake it, until it ends. A program that closes fds which it did
 * not open (closefrom(2)) does so before its threads use Krait.
 *
 * And three ways to wait for what is no socket of Krait's, so that a fiber can:
 * for an fd of somebody else's, for a child process, for a function that can
 * only block. From threads and from fibers; from no signal handler.
 */
#ifndef KRAIT_IO_H
#define KRAIT_IO_H

#include <sys/types.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* What to do when a signal has interrupted a call: `fn` runs in the calling
 * thread, outside the signal handler, and after each part of a krait_sendall,
 * as in Python, and of a krait_send without a timeout, which ends early then.
 * 0: go on, with what is left of the timeout. Anything else: the call fails
 * with EINTR. NULL, the default: go on. For the whole process; set it before
 * threads are started.
 *
 * A signal that interrupts a worker of krait_run as it sleeps has interrupted
 * all its fibers that wait: each of them calls `fn`, in its own call, and fails
 * or goes on by what that returns. Other workers' fibers hear nothing. Which
 * thread gets a process's signal is the kernel's choice among those that don't
 * block it. (A signal that comes between two calls, or just before
 * a wait begins, interrupts neither: to stop a call for certain use
 * krait_interrupt, which a signal handler may call.) */
KRAIT_API void krait_set_signal_hook(int (*fn)(void *arg), void *arg);

/* Waits until a plain fd, a pipe's or another library's, is ready for one of
 * `events`: poll(2)'s, as short. `timeout` is in seconds: KRAIT_FOREVER; 0 does
 * not wait. Returns the events that have come, as poll(2) has them in revents:
 * POLLERR and POLLHUP without being asked for, regular files always ready. They
 * may have been taken by somebody else by the time of the next call: a read
 * that must not block needs O_NONBLOCK still.
 *
 * Several may wait for the same fd; all are woken. It must stay open
 * meanwhile: who waits need not notice that it was closed. (A krait_sock's
 * own calls wait by themselves; its fd may be waited for here as well, but
 * krait_interrupt does not wake that.)
 *
 * -1 and errno: EAGAIN not ready, timeout 0; ETIMEDOUT the timeout, or a
 * deadline scope's, has passed; ECANCELED the fiber was cancelled; EINTR the
 * signal hook; EBADF no open fd; EINVAL the timeout is negative or not a
 * number; ENOMEM. */
KRAIT_API int krait_wait_fd(int fd, short events, double timeout);

/* Waits for a child process to end, and reaps it, as waitpid(2) does: `*status`
 * (NULL: not wanted) tells how. 0. One that has ended already is reaped at
 * once; one that was stopped or continued is not reported. No other child is
 * touched. On failure the child is still to be waited for, and `*status` is
 * unchanged.
 *
 * Nobody else may reap it at the same time, by wait(2) for any child, say, and
 * SIGCHLD must not be ignored (waitpid(2), NOTES): the status is lost then.
 *
 * -1 and errno: ECHILD no child of this process, or somebody else has reaped
 * it; EINVAL `pid` is not above 0, the timeout is negative or not a number;
 * EAGAIN it has not ended, timeout 0; ETIMEDOUT, ECANCELED, EINTR as
 * krait_wait_fd; EMFILE, ENFILE, ENOMEM no fd to wait with. (Before Linux 5.3,
 * which has no pidfd_open(2), it is looked for every 10 ms.) */
KRAIT_API int krait_wait_child(pid_t pid, int *status, double timeout);

/* Calls `fn(arg)`, which may block, and returns what it returned, with its
 * errno and, where a call of Krait's has failed in it, with that in
 * krait_errmsg. In a plain thread it is just called. In a fiber it runs in a
 * helper thread, as a plain thread's code, while the fiber waits and its worker
 * runs others: for a database's client library, a file system that hangs, a
 * long computation.
 *
 * Up to 64 such calls run at a time, and others wait for their turn, so that
 * one must not wait for what another will only do. (Looking up names has
 * helpers of its own.) In helper threads all signals are blocked; threads are
 * used again, and `fn` must leave them as they were, and return.
 *
 * As long as it has not begun the call can be given up; then `fn` is never
 * called. Once begun it is waited for, whatever happens meanwhile, since it
 * uses the caller's memory: a fiber that is cancelled then, or whose deadline
 * scope ends, hears of it at its next call.
 *
 * -1 and errno, with `fn` not called: ECANCELED the fiber was cancelled;
 * ETIMEDOUT a deadline scope has passed; EINTR the signal hook; ENOMEM no
 * memory for a thread, or no more of them; EINVAL `fn` is NULL. `fn` may well
 * return -1 with the same errno: where the difference matters, have it note in
 * `*arg` that it was called. */
KRAIT_API int krait_blocking(int (*fn)(void *arg), void *arg);

KRAIT_END_DECLS

#endif
