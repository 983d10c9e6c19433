/* SPDX-License-Identifier: MIT
 *
 * keyboard.h - reading what is typed, in a way that can be ended.
 */
#ifndef KEYBOARD_H
#define KEYBOARD_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>
#include <krait.h>

/* What keyboard_read returns when it was told to stop waiting. */
#define KEYBOARD_ENDED (-2)

/* Called once, by the thread that reads. From then on SIGINT, SIGTERM and
 * SIGHUP end the reading, for good. */
void keyboard_start(void);

/* The socket that such a signal interrupts too; NULL: none. */
void keyboard_interrupts(krait_sock *sock);

/* read(2), but KEYBOARD_ENDED after such a signal or keyboard_end, and EINTR
 * after one that needs the screen drawn anew. */
ssize_t keyboard_read(int fd, void *buf, size_t len);

/* Ends the reading, for good. From any thread. */
void keyboard_end(void);

/* The signal that has ended the reading; 0: none. */
int keyboard_signal(void);

/* Whether the terminal has changed its size, or came back to us from a job
 * that was suspended, since this was last asked. */
int keyboard_redraw_wanted(void);

/* Starts a thread of the program's, which gets no signals: those are for the
 * thread that reads. 0, or -1 with errno set. */
int start_thread(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
