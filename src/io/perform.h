/* SPDX-License-Identifier: MIT
 *
 * perform.h - the one place where an operation is performed.
 *
 * Everything that waits in Krait waits here. The caller holds a reference to
 * the operation's handle. Deadlines, EINTR and the signal hook, what flags mean
 * beyond one system call, how a connect completes, and what to do where the
 * kernel gives no event are decided here, whichever engine is below.
 */
#ifndef KRAIT__PERFORM_H
#define KRAIT__PERFORM_H

#include <krait/fiber.h>

#include "base/deadline.h"
#include "base/failure.h"
#include "engine/engine.h"

/* Performs `op`; where it has to wait, until `deadline` (AT_ONCE: not at
 * all). Returns its result or a negative code: -KRAIT__ETIMEOUT, -ECANCELED,
 * -EINTR (the signal hook), -EAGAIN, or the kernel's. A send on a stream
 * without deadline takes everything, as a blocking send(2) does. */
ssize_t krait__perform(struct krait__op *op, int64_t deadline);

/* Performs a send until every byte has been taken: 0 or a negative code. An
 * empty one is sent once. */
int krait__send_whole(struct krait__op *op, int64_t deadline);

/* Waits for a plain fd (poll(2)'s events; fd -1: only for the deadline) as long
 * as none of `bits` is marked on `h`, which may be NULL. Returns the events, or
 * a negative code as krait__perform. */
int krait__wait_fd(struct krait__handle *h, unsigned bits, int fd, short events,
                   int64_t deadline);

/* The same; `what` is for the statistics. */
int krait__await(enum krait_wait what, struct krait__handle *h, unsigned bits,
                 int fd, short events, int64_t deadline);

/* Waits for `ns`, between two tries of what gives no event: 0, try again; or
 * why not to: `deadline` has passed, or a code as of krait__wait_fd. */
int krait__pause(struct krait__handle *h, unsigned bits, int64_t ns,
                 int64_t deadline);

#endif
