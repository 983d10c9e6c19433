/* SPDX-License-Identifier: MIT
 *
 * keyboard.c - reading what is typed, in a way that can be ended.
 *
 * read(2) of a terminal or pipe waits until somebody types, and two others
 * have a say meanwhile: a signal (Ctrl-C), and the thread that has seen the
 * server leave. A signal handler that only sets a flag comes too late where
 * the signal arrives between the look at the flag and the read. So the handler
 * jumps out of the read: a jump from a handler is allowed where it interrupts
 * an async-signal-safe function, which read is, and `reading` tells that it
 * does. A thread sends itself, as it were, the same signal: SIGUSR1.
 *
 * A second such signal, or PATIENCE after the first, ends the program on the
 * spot, whatever it is stuck in (a stdout that nobody reads).
 *
 * A signal that only wants the screen drawn anew must not jump: the jump might
 * come when read has taken a byte already, which would be lost. It interrupts
 * the read (EINTR); where it came too early for that, a timer does.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "cli.h"
#include "keyboard.h"

/* Seconds in which the program ends after a signal, or is ended. */
#define PATIENCE 5

static sigjmp_buf out_of_read;
static volatile sig_atomic_t reading;
static volatile sig_atomic_t ended;    /* no more reading */
static volatile sig_atomic_t ended_by; /* the signal, if one did */
static volatile sig_atomic_t redraw_wanted;
static _Atomic(krait_sock *) interrupted_too;
static pthread_t reader;
static struct termios terminal_before;
static int terminal_known;

static void set_timer(long seconds, long microseconds)
{
    const struct itimerval once = {
        .it_value = {.tv_sec = seconds, .tv_usec = microseconds},
    };

    setitimer(ITIMER_REAL, &once, NULL);
}

static void leave_at_once(void)
{
    if (terminal_known)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
    _exit(128 + ended_by);
}

static void on_end(int number)
{
    krait_sock *sock = atomic_load(&interrupted_too);
    int saved = errno;

    if (number != SIGUSR1) {
        if (ended_by)
            leave_at_once();
        ended_by = number;
        set_timer(PATIENCE, 0);
        give_up();
        if (sock)
            krait_interrupt(sock);
    }
    ended = 1;
    if (reading) {
        reading = 0;
        siglongjmp(out_of_read, 1);
    }
    errno = saved;
}

static void on_redraw(int number)
{
    if (number == SIGALRM && ended_by)
        leave_at_once();
    if (number != SIGALRM)
        redraw_wanted = 1;
    if (reading && redraw_wanted)
        set_timer(0, 10000);
}

void keyboard_start(void)
{
    /* Without SA_RESTART: a read or a write that waits ends with EINTR. */
    struct sigaction end = {.sa_handler = on_end};
    struct sigaction redraw = {.sa_handler = on_redraw};
    struct sigaction old;

    /* One at a time: on_end must not jump out of another handler, which may be
     * in the middle of krait_interrupt. */
    sigfillset(&end.sa_mask);
    sigfillset(&redraw.sa_mask);

    reader = pthread_self();
    terminal_known = tcgetattr(STDIN_FILENO, &terminal_before) == 0;
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGUSR1, &end, NULL);
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &end, NULL);
    sigaction(SIGWINCH, &redraw, NULL);
    sigaction(SIGCONT, &redraw, NULL);
    sigaction(SIGALRM, &redraw, NULL);
}

void keyboard_interrupts(krait_sock *sock)
{
    atomic_store(&interrupted_too, sock);
    if (sock && ended_by)
        krait_interrupt(sock);
}

ssize_t keyboard_read(int fd, void *buf, size_t len)
{
    ssize_t n;

    if (sigsetjmp(out_of_read, 1))
        return KEYBOARD_ENDED;
    reading = 1;
    if (ended) {
        reading = 0;
        return KEYBOARD_ENDED;
    }
    if (redraw_wanted) {
        reading = 0;
        errno = EINTR;
        return -1;
    }
    /* EAGAIN: see write_all. */
    while ((n = read(fd, buf, len)) < 0 && errno == EAGAIN)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    reading = 0;
    return n;
}

void keyboard_end(void)
{
    pthread_kill(reader, SIGUSR1);
}

int keyboard_signal(void)
{
    return ended_by;
}

int keyboard_redraw_wanted(void)
{
    int wanted = redraw_wanted;

    redraw_wanted = 0;
    return wanted;
}

int start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    sigset_t all;
    sigset_t before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        errno = error;
        return -1;
    }
    return 0;
}
