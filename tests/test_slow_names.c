/* SPDX-License-Identifier: MIT
 *
 * test_slow_names.c - a resolver that does not answer, or says anything.
 *
 * This program has a getaddrinfo of its own, which the library's calls come to
 * before libc's. It waits for a gate, and answers with two addresses. In fibers
 * nothing else may stop meanwhile.
 *
 * ctest: flows
 */
#include "support.h"

#include <krait/scope.h>
#include <semaphore.h>

static sem_t gate;                      /* one for each answer */
static atomic_int waiting;              /* asked, and not answered */
static atomic_int addresses;            /* given, and not freed */
static _Atomic(struct addrinfo *) told; /* the answer; NULL: EAI_AGAIN */

/* What the linker knows as getaddrinfo and freeaddrinfo. */
int slow_getaddrinfo(const char *node, const char *service,
                     const struct addrinfo *hints,
                     struct addrinfo **found) __asm__("getaddrinfo");
void slow_freeaddrinfo(struct addrinfo *found) __asm__("freeaddrinfo");

int slow_getaddrinfo(const char *node, const char *service,
                     const struct addrinfo *hints, struct addrinfo **found)
{
    struct addrinfo *answer;

    (void)node;
    (void)service;
    (void)hints;
    atomic_fetch_add(&waiting, 1);
    while (sem_wait(&gate) < 0)
        continue;
    answer = atomic_load(&told);
    if (answer) {
        atomic_fetch_add(&addresses, 1);
        *found = answer;
    }
    atomic_fetch_sub(&waiting, 1);
    return answer ? 0 : EAI_AGAIN;
}

void slow_freeaddrinfo(struct addrinfo *found)
{
    (void)found;
    atomic_fetch_sub(&addresses, 1);
}

static bool is_asked(void *unused)
{
    (void)unused;
    return atomic_load(&waiting) > 0;
}

static bool is_over(void *unused)
{
    (void)unused;
    return atomic_load(&waiting) == 0 && atomic_load(&addresses) == 0;
}

/* Lets the resolver answer the one who has given up already. */
static void answer_late(void)
{
    assert_true(wait_for(is_asked, NULL));
    sem_post(&gate);
    assert_true(wait_for(is_over, NULL));
}

/* Long enough for a helper thread to have asked. */
#define SOON 0.5

static krait_addr slow(void)
{
    return krait_inet("slow.example", 80);
}

static void test_a_connect_by_name_times_out(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));

    (void)state;
    assert_works(krait_settimeout(s, SOON));
    assert_fails(krait_connect(s, slow()), ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_string_equal(krait_errmsg(), "connect slow.example:80: timed out");
    answer_late();
}

static void test_create_connection_s_timeout_holds_for_the_name(void **state)
{
    (void)state;
    assert_null_with(krait_create_connection(slow(), SOON), ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    answer_late();
}

static void test_resolve_times_out(void **state)
{
    krait_addr found;

    (void)state;
    assert_fails(krait_addr_resolve(slow(), AF_UNSPEC, SOON, &found, 1),
                 ETIMEDOUT);
    answer_late();
}

static void test_a_deadline_scope_holds_for_the_name(void **state)
{
    krait_deadline d;
    krait_addr found;

    (void)state;
    assert_works(krait_deadline_begin(&d, SOON));
    assert_fails(
        krait_addr_resolve(slow(), AF_UNSPEC, KRAIT_FOREVER, &found, 1),
        ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
    answer_late();
}

static void test_resolve_without_waiting_does_not_ask(void **state)
{
    krait_addr found;

    (void)state;
    assert_fails(krait_addr_resolve(slow(), AF_UNSPEC, 0, &found, 1), EAGAIN);
    assert_int_equal(atomic_load(&waiting), 0);
}

/* Begins to connect by name in a task, and waits until it has asked. */
static void begin(struct call *call)
{
    call->sock = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    call->addr = slow();
    call->task = start(do_connect, call);
    assert_true(wait_for(is_asked, NULL));
}

static void test_an_interrupt_ends_a_connect_that_asks_for_a_name(void **state)
{
    struct call call = {0};

    (void)state;
    begin(&call);
    assert_works(krait_interrupt(call.sock));
    assert_call_fails(&call, ECANCELED);
    answer_late();
}

static void test_a_close_ends_a_connect_that_asks_for_a_name(void **state)
{
    struct call call = {0};

    (void)state;
    begin(&call);
    assert_int_equal(shut(call.sock), 0);
    assert_call_fails(&call, ECANCELED);
    answer_late();
}

static void test_a_resolver_that_gives_up_is_said(void **state)
{
    krait_addr found;

    (void)state;
    sem_post(&gate);
    assert_fails(
        krait_addr_resolve(slow(), AF_UNSPEC, KRAIT_FOREVER, &found, 1),
        EHOSTUNREACH);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_NAME);
    assert_int_equal(krait_erreai(), EAI_AGAIN);
    assert_contains(krait_errmsg(), "resolve slow.example:80: ");
}

/* The first of a name's addresses refuses, the second one listens. */
static void test_the_next_address_is_tried(void **state)
{
    krait_sock *server = listener(transport_named(INET_STREAM));
    krait_addr there = krait_getsockname(server), from;
    struct sockaddr_in sa[2] = {{.sin_family = AF_INET},
                                {.sin_family = AF_INET}};
    struct addrinfo list[2] = {
        {.ai_family = AF_INET, .ai_addrlen = sizeof sa[0], .ai_next = &list[1]},
        {.ai_family = AF_INET, .ai_addrlen = sizeof sa[1]},
    };
    krait_sock *s;

    (void)state;
    /* The same port on two addresses of the loopback network: on the first one
     * nobody listens. */
    sa[0].sin_addr.s_addr = htonl(0x7f000002);
    sa[1].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    list[0].ai_addr = (struct sockaddr *)&sa[0];
    list[1].ai_addr = (struct sockaddr *)&sa[1];
    atomic_store(&told, list);
    sem_post(&gate);
    s = krait_create_connection(
        krait_inet("two.example", krait_addr_port(there)), PATIENCE);
    atomic_store(&told, NULL);
    assert_non_null(s);
    own(s);
    assert_true(krait_addr_equal(krait_getpeername(s), there));
    assert_non_null(own(krait_accept(server, &from)));
    assert_true(krait_addr_equal(from, krait_getsockname(s)));
    assert_true(wait_for(is_over, NULL));
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_a_connect_by_name_times_out), ONCE},
        {TEST(test_create_connection_s_timeout_holds_for_the_name), ONCE},
        {TEST(test_resolve_times_out), ONCE},
        {TEST(test_a_deadline_scope_holds_for_the_name), ONCE},
        {TEST(test_resolve_without_waiting_does_not_ask), ONCE},
        {TEST(test_an_interrupt_ends_a_connect_that_asks_for_a_name), ONCE},
        {TEST(test_a_close_ends_a_connect_that_asks_for_a_name), ONCE},
        {TEST(test_a_resolver_that_gives_up_is_said), ONCE},
        {TEST(test_the_next_address_is_tried), ONCE},
    };

    sem_init(&gate, 0, 0);
    return run_all(argc, argv, "slow_names", tests, COUNT(tests));
}
