/* SPDX-License-Identifier: MIT
 *
 * failure.c - the record of the last failure, and its message.
 */
#include "base/failure.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/flow.h"

/* An operation, an address (512), an error's text and a hint. */
enum { LINE_MAX_BYTES = 1024, SUBJECT_TEXT = 512 };

static _Thread_local struct krait__failure own;
static _Thread_local char own_line[LINE_MAX_BYTES];

static struct krait__failure *here(void)
{
    struct krait__flow *flow = krait__flow();

    return flow->failure ? flow->failure : &own;
}

struct krait__failure *krait__failure_swap(struct krait__failure *mine)
{
    struct krait__flow *flow = krait__flow();
    struct krait__failure *before = flow->failure;

    flow->failure = mine;
    return before;
}

/* A fiber's line is its own, since it may wait while it holds it; few fibers
 * ever need one. Without memory for it they share their thread's. */
static char *line_here(void)
{
    struct krait__flow *flow = krait__flow();

    if (!flow->is_fiber)
        return own_line;
    if (!flow->line)
        flow->line = malloc(LINE_MAX_BYTES);
    return flow->line ? flow->line : own_line;
}

int krait__errno_of(int code)
{
    if (code == -KRAIT__ETIMEOUT)
        return ETIMEDOUT;
    if (code <= -KRAIT__ENAME)
        return EHOSTUNREACH;
    return -code;
}

int krait__fail(const char *op, int code, const char *reason,
                krait__describe_fn *describe, const void *subject, size_t len)
{
    struct krait__failure *f = here();

    f->code = -code;
    f->op = op;
    f->reason = reason;
    f->describe = subject ? describe : NULL;
    if (subject)
        memcpy(f->subject, subject,
               len < sizeof f->subject ? len : sizeof f->subject);
    errno = krait__errno_of(code);
    return -1;
}

int krait__fail_as(const struct krait__failure *noted)
{
    *here() = *noted;
    return krait__fail_again();
}

int krait__fail_again(void)
{
    const struct krait__failure *f = here();

    errno = f->code ? krait__errno_of(-f->code) : EINVAL;
    return -1;
}

int krait_errno(void)
{
    return here()->code ? krait__errno_of(-here()->code) : 0;
}

enum krait_error_domain krait_errdomain(void)
{
    int code = here()->code;

    if (code == 0)
        return KRAIT_ERROR_NONE;
    if (code == KRAIT__ETIMEOUT)
        return KRAIT_ERROR_TIMEOUT;
    return code >= KRAIT__ENAME ? KRAIT_ERROR_NAME : KRAIT_ERROR_OS;
}

int krait_erreai(void)
{
    int code = here()->code;

    return code >= KRAIT__ENAME ? KRAIT__ENAME - code : 0;
}

const char *krait__strerror(int err, char *buf, size_t size)
{
    return strerror_r(err, buf, size);
}

/* The cause in words; `buf` as krait__strerror. */
static const char *cause(const struct krait__failure *f, char *buf, size_t size)
{
    if (f->reason)
        return f->reason;
    if (f->code == KRAIT__ETIMEOUT)
        return "timed out";
    if (f->code >= KRAIT__ENAME)
        return gai_strerror(KRAIT__ENAME - f->code);
    return krait__strerror(f->code, buf, size);
}

const char *krait_errmsg(void)
{
    const struct krait__failure *f = here();
    char subject[SUBJECT_TEXT] = "", words[128];
    const char *hint;
    int saved = errno;
    char *line;

    if (f->code == 0)
        return "no error";
    line = line_here();
    if (f->describe)
        f->describe(f->subject, subject, sizeof subject);
    hint = krait__hint(f->op, krait_errno(), subject);
    if (f->reason || krait_errdomain() == KRAIT_ERROR_NAME)
        hint = NULL; /* the cause says it all */
    snprintf(line, LINE_MAX_BYTES, "%s%s%s: %s%s%s", f->op, *subject ? " " : "",
             subject, cause(f, words, sizeof words), hint ? ": " : "",
             hint ? hint : "");
    errno = saved;
    return line;
}

void krait_perror(const char *what)
{
    int saved = errno;

    if (what && *what)
        fprintf(stderr, "%s: %s\n", what, krait_errmsg());
    else
        fprintf(stderr, "%s\n", krait_errmsg());
    errno = saved;
}
