/* SPDX-License-Identifier: MIT
 *
 * failure.h - what is kept of the last call that failed.
 *
 * Inside Krait functions return negative codes: -errno, or one of the codes
 * below, which say more than an errno can. They become errno, and a record for
 * krait_errmsg, in one place, at the edge of each public call: here.
 *
 * The record holds what the message is made of (the operation, the address as
 * a value), not the message: a failing call in a loop costs a small copy. It
 * belongs to the flow of control, thread or fiber (base/flow.h).
 */
#ifndef KRAIT__FAILURE_H
#define KRAIT__FAILURE_H

#include <stddef.h>
#include <krait/error.h>

/* Codes beyond the system's errnos (which end at 4095), used negated as they
 * are. */
enum {
    KRAIT__ETIMEOUT = 5001, /* Krait's own timeout; not the kernel's */
    KRAIT__ENAME = 6000     /* + n: name resolution failed with EAI code -n */
};

/* Room for an address; see the assertion in addr.c. */
#define KRAIT__SUBJECT_MAX 272

/* Writes the subject as text, with a NUL, cut to `size`. */
typedef void krait__describe_fn(const void *subject, char *buf, size_t size);

struct krait__failure {
    int code;                     /* positive; 0: nothing has failed */
    const char *op;               /* "connect": static */
    const char *reason;           /* static; NULL: the code's own text */
    krait__describe_fn *describe; /* NULL: there is no subject */
    _Alignas(8) unsigned char subject[KRAIT__SUBJECT_MAX];
};

/* Notes that `op` failed with the negative `code`, and sets errno to what the
 * code means. `subject`, of `len` bytes, is copied; `reason` says it better
 * than the code's text does. Both may be NULL. Returns -1, for its caller to
 * return. */
int krait__fail(const char *op, int code, const char *reason,
                krait__describe_fn *describe, const void *subject, size_t len);

/* strerror(3) for threads; `buf` is for what has to be composed. */
const char *krait__strerror(int err, char *buf, size_t size);

/* The errno that a negative code stands for. */
int krait__errno_of(int code);

/* Sets errno again to that of the last failure; EINVAL where there is none.
 * Returns -1. */
int krait__fail_again(void);

/* Makes a failure that another record has noted this thread's last. Returns
 * -1. */
int krait__fail_as(const struct krait__failure *noted);

/* Makes `mine` the record of the calling flow from now on; returns the one
 * before, for swapping back (NULL: a thread's own). */
struct krait__failure *krait__failure_swap(struct krait__failure *mine);

/* A hint for a failure whose cause a user can do something about; or NULL.
 * `subject` is the address as text, "" where there is none. */
const char *krait__hint(const char *op, int err, const char *subject);

/* One line to where krait_set_log says. */
void krait__log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
