/* SPDX-License-Identifier: MIT
 *
 * test_stack.c - the pool of stacks: reuse, caches, guards, memory given back,
 * counts; with each way to make a guard that this kernel has.
 */
#include "support.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fiber/instruments.h"
#include "fiber/stack.h"

enum { SIZE = 64 << 10 };

static struct krait__stacks *pool;

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* The test's own, which the next one frees, or the end of all. */
static void new_pool(size_t size)
{
    krait__stacks_free(pool);
    pool = krait__stacks_new(size);
    assert_non_null(pool);
}

static struct krait__stack take(struct krait__stack_cache *cache, size_t size)
{
    struct krait__stack stack = {NULL, NULL};

    assert_int_equal(krait__stack_take(pool, cache, size, &stack), 0);
    assert_non_null(stack.low);
    assert_true((size_t)(stack.high - stack.low) >= size);
    assert_int_equal((uintptr_t)stack.low % 64, 0);
    assert_int_equal((uintptr_t)stack.high % 64, 0);
    return stack;
}

static struct krait__stack_counts counts(void)
{
    struct krait__stack_counts c;

    krait__stacks_count(pool, &c);
    return c;
}

/* Whether reading `p` faults, without a fault. */
static bool faults(const char *p)
{
    int fds[2];
    ssize_t n;
    int err;

    assert_int_equal(pipe(fds), 0);
    n = write(fds[1], p, 1);
    err = errno;
    close(fds[0]);
    close(fds[1]);
    assert_true(n == 1 || err == EFAULT);
    return n < 0;
}

/* --- taking and giving ------------------------------------------------- */

static void test_a_stack_can_be_written_to_its_ends(void **state)
{
    struct krait__stack stack;

    (void)state;
    new_pool(SIZE);
    stack = take(NULL, 0);
    assert_true(stack.high - stack.low >= SIZE);
    memset(stack.low, 0x5a, (size_t)(stack.high - stack.low));
    krait__stack_give(pool, NULL, &stack);
    assert_null(stack.low);
}

static void test_stacks_do_not_overlap(void **state)
{
    enum { N = 200 };
    struct krait__stack stacks[N];
    size_t i, k;

    (void)state;
    new_pool(SIZE);
    for (i = 0; i < N; i++)
        stacks[i] = take(NULL, 0);
    for (i = 0; i < N; i++)
        for (k = 0; k < N; k++)
            assert_true(i == k || stacks[i].high <= stacks[k].low ||
                        stacks[k].high <= stacks[i].low);
    for (i = 0; i < N; i++)
        krait__stack_give(pool, NULL, &stacks[i]);
}

static void test_tops_have_several_colours(void **state)
{
    struct krait__stack stacks[16];
    unsigned seen = 0;
    size_t i;

    (void)state;
    new_pool(SIZE);
    for (i = 0; i < COUNT(stacks); i++) {
        stacks[i] = take(NULL, 0);
        seen |= 1u << (-(uintptr_t)stacks[i].high % page() / 64);
    }
    assert_int_equal(seen, 0xff);
    for (i = 0; i < COUNT(stacks); i++)
        krait__stack_give(pool, NULL, &stacks[i]);
}

static void test_a_stack_keeps_its_ends_when_reused(void **state)
{
    struct krait__stack first, again;

    (void)state;
    new_pool(SIZE);
    first = again = take(NULL, 0);
    krait__stack_give(pool, NULL, &again);
    again = take(NULL, 0);
    assert_ptr_equal(again.low, first.low);
    assert_ptr_equal(again.high, first.high);
    assert_int_equal(counts().mapped, 1);
    krait__stack_give(pool, NULL, &again);
}

static void test_a_cache_gives_the_hottest_first(void **state)
{
    struct krait__stack_cache cache = {.count = 0};
    struct krait__stack a, b;
    char *low_a, *low_b;

    (void)state;
    new_pool(SIZE);
    a = take(&cache, 0);
    b = take(&cache, 0);
    low_a = a.low;
    low_b = b.low;
    low_a[100] = 'a';
    krait__stack_give(pool, &cache, &b);
    krait__stack_give(pool, &cache, &a);
    assert_int_equal(cache.count, 2);
    a = take(&cache, 0);
    assert_ptr_equal(a.low, low_a);
    assert_int_equal(a.low[100], 'a'); /* as it was */
    b = take(&cache, 0);
    assert_ptr_equal(b.low, low_b);
    krait__stack_give(pool, NULL, &a);
    krait__stack_give(pool, NULL, &b);
}

static void test_a_full_cache_passes_on_to_the_pool(void **state)
{
    enum { N = KRAIT__HOT_STACKS + 10 };
    struct krait__stack_cache cache = {.count = 0}, other = {.count = 0};
    struct krait__stack stacks[N];
    size_t i;

    (void)state;
    new_pool(SIZE);
    for (i = 0; i < N; i++)
        stacks[i] = take(&cache, 0);
    for (i = 0; i < N; i++)
        krait__stack_give(pool, &cache, &stacks[i]);
    assert_int_equal(cache.count, KRAIT__HOT_STACKS);
    for (i = 0; i < N - KRAIT__HOT_STACKS; i++)
        stacks[i] = take(&other, 0);
    assert_int_equal(counts().mapped, N);
    krait__stack_cache_flush(pool, &cache);
    assert_int_equal(cache.count, 0);
    for (; i < N; i++)
        stacks[i] = take(&other, 0);
    assert_int_equal(counts().mapped, N);
    for (i = 0; i < N; i++)
        krait__stack_give(pool, NULL, &stacks[i]);
}

static void test_other_sizes_are_reused_too(void **state)
{
    static const size_t sizes[] = {
        1, SIZE, SIZE + 1, 100000, 256 << 10, 1 << 20, (1 << 20) + 1,
    };
    struct krait__stack_cache cache = {.count = 0};
    struct krait__stack first, again;
    uint64_t mapped;
    size_t i;

    (void)state;
    new_pool(SIZE);
    for (i = 0; i < COUNT(sizes); i++) {
        first = again = take(&cache, sizes[i]);
        memset(first.low, 1, (size_t)(first.high - first.low));
        mapped = counts().mapped;
        krait__stack_give(pool, &cache, &again);
        again = take(&cache, sizes[i]);
        assert_ptr_equal(again.low, first.low);
        assert_ptr_equal(again.high, first.high);
        assert_int_equal(counts().mapped, mapped);
        krait__stack_give(pool, &cache, &again);
    }
    assert_true(cache.count > 0);
    krait__stack_cache_flush(pool, &cache);
}

static void test_what_is_too_much_is_refused(void **state)
{
    struct krait__stack stack;
    struct rlimit was, small = {0, 0};
    int rc;

    (void)state;
    new_pool(SIZE);
    assert_int_equal(krait__stack_take(pool, NULL, SIZE_MAX, &stack), -ENOMEM);
    assert_int_equal(krait__stack_take(pool, NULL, SIZE_MAX / 2, &stack),
                     -ENOMEM);
    assert_null(krait__stacks_new(SIZE_MAX));
    if (KRAIT__ASAN || KRAIT__TSAN || under_valgrind())
        return; /* they map what they like */
    assert_int_equal(getrlimit(RLIMIT_AS, &was), 0);
    small.rlim_max = was.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_AS, &small), 0);
    rc = krait__stack_take(pool, NULL, 16 << 20, &stack);
    assert_int_equal(setrlimit(RLIMIT_AS, &was), 0);
    assert_int_equal(rc, -ENOMEM);
    stack = take(NULL, 16 << 20);
    krait__stack_give(pool, NULL, &stack);
}

/* --- guards ------------------------------------------------------------ */

static void guard_works(const struct krait__stack *stack)
{
    struct krait__stack found = {NULL, NULL};
    size_t offset;

    for (offset = 1; offset <= 64 << 10; offset += page()) {
        assert_true(faults(stack->low - offset));
        assert_true(krait__stack_guarding(pool, stack->low - offset, &found));
        assert_ptr_equal(found.low, stack->low);
        assert_ptr_equal(found.high, stack->high);
    }
    assert_false(faults(stack->low));
    assert_false(faults(stack->high - 1));
    assert_false(krait__stack_guarding(pool, stack->low, &found));
    assert_false(krait__stack_guarding(pool, stack->high - 1, &found));
}

static void test_guards_fault_and_are_found(void **state)
{
    struct krait__stack stacks[40], large;
    struct krait__stack found;
    size_t i;
    int local;

    (void)state;
    new_pool(SIZE);
    for (i = 0; i < COUNT(stacks); i++)
        stacks[i] = take(NULL, 0);
    large = take(NULL, 1 << 20);
    for (i = 0; i < COUNT(stacks); i++)
        guard_works(&stacks[i]);
    guard_works(&large);
    assert_false(krait__stack_guarding(pool, NULL, &found));
    assert_false(krait__stack_guarding(pool, &local, &found));
    assert_int_equal(counts().unguarded, 0);
    print_message("guards: %s\n", counts().guards);
    for (i = 0; i < COUNT(stacks); i++)
        krait__stack_give(pool, NULL, &stacks[i]);
    krait__stack_give(pool, NULL, &large);
}

static void test_guards_survive_giving_back(void **state)
{
    struct krait__stack stack;
    int i;

    (void)state;
    new_pool(SIZE);
    for (i = 0; i < 3; i++) {
        stack = take(NULL, 0);
        guard_works(&stack);
        memset(stack.low, 1, (size_t)(stack.high - stack.low));
        krait__stack_give(pool, NULL, &stack);
    }
}

static void test_without_guard_install_it_is_mprotect(void **state)
{
    struct krait__stack stacks[10];
    size_t i;

    (void)state;
    krait__stack_test.no_guard_install = true;
    new_pool(SIZE);
    krait__stack_test.no_guard_install = false;
    for (i = 0; i < COUNT(stacks); i++)
        stacks[i] = take(NULL, 0);
    for (i = 0; i < COUNT(stacks); i++)
        guard_works(&stacks[i]);
    assert_string_equal(counts().guards, "mprotect");
    assert_int_equal(counts().unguarded, 0);
    for (i = 0; i < COUNT(stacks); i++)
        krait__stack_give(pool, NULL, &stacks[i]);
}

static void test_past_the_kernels_limit_there_is_no_guard(void **state)
{
    struct krait__stack stacks[10];
    size_t i;

    (void)state;
    krait__stack_test.no_guard_install = true;
    krait__stack_test.mprotect_max = 4;
    new_pool(SIZE);
    krait__stack_test.no_guard_install = false;
    krait__stack_test.mprotect_max = SIZE_MAX;
    for (i = 0; i < COUNT(stacks); i++)
        stacks[i] = take(NULL, 0);
    for (i = 0; i < COUNT(stacks); i++)
        assert_int_equal(faults(stacks[i].low - 1), i < 4);
    assert_string_equal(counts().guards, "mprotect");
    assert_int_equal(counts().unguarded, 6);
    for (i = 0; i < COUNT(stacks); i++)
        krait__stack_give(pool, NULL, &stacks[i]);
}

static void test_that_there_are_no_guards_is_said(void **state)
{
    struct krait__stack stack;

    (void)state;
    krait__stack_test.no_guard_install = true;
    krait__stack_test.mprotect_max = 0;
    new_pool(SIZE);
    krait__stack_test.no_guard_install = false;
    krait__stack_test.mprotect_max = SIZE_MAX;
    stack = take(NULL, 0);
    assert_string_equal(counts().guards, "none");
    assert_int_equal(counts().unguarded, 1);
    krait__stack_give(pool, NULL, &stack);
}

/* Locked memory takes no MADV_GUARD_INSTALL. */
static void test_locked_memory_is_guarded_too(void **state)
{
    struct krait__stack stack;
    bool guarded = false;
    int rc;

    (void)state;
    new_pool(SIZE);
    if (mlockall(MCL_FUTURE | MCL_ONFAULT) < 0)
        skip_because("memory can't be locked here");
    rc = krait__stack_take(pool, NULL, 0, &stack);
    if (rc == 0) {
        guarded = faults(stack.low - 1);
        krait__stack_give(pool, NULL, &stack);
    }
    munlockall();
    if (rc == -ENOMEM)
        skip_because("RLIMIT_MEMLOCK is too small for a few stacks");
    assert_true(guarded);
    assert_int_equal(counts().unguarded, 0);
}

/* The handler that krait__stack_guarding is for. */
static struct krait__stack overflowed;

static void on_sigsegv(int sig, siginfo_t *info, void *context)
{
    struct krait__stack found;

    (void)sig;
    (void)context;
    if (!krait__stack_guarding(pool, info->si_addr, &found))
        _exit(2);
    _exit(found.low == overflowed.low ? 42 : 3);
}

static void test_a_signal_handler_can_tell_the_stack(void **state)
{
    struct sigaction sa = {.sa_sigaction = on_sigsegv, .sa_flags = SA_SIGINFO};
    volatile char *guard;
    int status;
    pid_t child;

    (void)state;
    new_pool(SIZE);
    overflowed = take(NULL, 0);
    guard = overflowed.low - 1;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sigaction(SIGSEGV, &sa, NULL);
        *guard = 1;
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    krait__stack_give(pool, NULL, &overflowed);
}

/* --- memory ------------------------------------------------------------ */

static void test_what_is_given_to_the_pool_gives_its_memory_back(void **state)
{
    enum { N = 32 };
    struct krait__stack_cache cache = {.count = 0};
    struct krait__stack stacks[N];
    uint64_t touched;
    size_t i;

    (void)state;
    new_pool(SIZE);
    for (i = 0; i < N; i++) {
        stacks[i] = take(&cache, 0);
        memset(stacks[i].low, 1, (size_t)(stacks[i].high - stacks[i].low));
    }
    touched = counts().resident;
    assert_true(touched >= (uint64_t)N * SIZE);
    for (i = 0; i < N; i++)
        krait__stack_give(pool, &cache, &stacks[i]);
    assert_true(counts().resident >= (uint64_t)N * SIZE); /* hot */
    krait__stack_cache_flush(pool, &cache);
    assert_int_equal(counts().resident, 0);
    assert_true(counts().bytes >= (uint64_t)N * SIZE);
    stacks[0] = take(&cache, 0);
    assert_int_equal(stacks[0].low[1000], 0);
    krait__stack_give(pool, &cache, &stacks[0]);
}

static void test_a_stack_is_mapped_as_it_is_touched(void **state)
{
    struct krait__stack stack;

    (void)state;
    new_pool(1 << 20);
    stack = take(NULL, 0);
    assert_int_equal(counts().resident, 0);
    stack.high[-1] = 1;
    assert_int_equal(counts().resident, page());
    krait__stack_give(pool, NULL, &stack);
}

static unsigned mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    unsigned lines = 0;
    int c;

    assert_non_null(f);
    while ((c = getc(f)) != EOF)
        lines += c == '\n';
    fclose(f);
    return lines;
}

static void test_ten_thousand_stacks(void **state)
{
    const size_t n = under_valgrind() ? 500 : 10000;
    struct krait__stack *stacks = own_block(n * sizeof *stacks);
    unsigned before;
    size_t i;

    (void)state;
    new_pool(256 << 10);
    before = mappings();
    for (i = 0; i < n; i++) {
        stacks[i] = take(NULL, 0);
        stacks[i].high[-1] = 1;
    }
    assert_int_equal(counts().mapped, n);
    assert_int_equal(counts().unguarded, 0);
    assert_int_equal(counts().resident, n * page());
    if (!strcmp(counts().guards, "MADV_GUARD_INSTALL"))
        assert_true(mappings() - before < 100);
    for (i = 0; i < n; i++)
        krait__stack_give(pool, NULL, &stacks[i]);
    assert_int_equal(counts().resident, 0);
    for (i = 0; i < n; i++)
        stacks[i] = take(NULL, 0);
    assert_int_equal(counts().mapped, n);
    for (i = 0; i < n; i++)
        krait__stack_give(pool, NULL, &stacks[i]);
}

#if KRAIT__ASAN

/* Not inlined, so that no trace of the pointer is left on this stack. */
__attribute__((noinline)) static void keep_block(char *top)
{
    void *volatile block = malloc(123);

    memcpy(top - sizeof block, (void *)&block, sizeof block);
    block = NULL;
}

__attribute__((noinline)) static void free_block(char *top)
{
    void *block;

    memcpy(&block, top - sizeof block, sizeof block);
    free(block);
}

static void test_what_a_stack_points_to_is_no_leak(void **state)
{
    struct krait__stack stack;

    (void)state;
    new_pool(SIZE);
    stack = take(NULL, 0);
    keep_block(stack.high);
    assert_int_equal(__lsan_do_recoverable_leak_check(), 0);
    free_block(stack.high);
    krait__stack_give(pool, NULL, &stack);
}

#endif

/* --- threads ----------------------------------------------------------- */

static atomic_uint trouble;

static void take_and_give(void *arg)
{
    struct krait__stack_cache cache = {.count = 0};
    struct krait__stack held[100];
    unsigned mark = *(unsigned *)arg, round, i;
    size_t size = 0;

    for (round = 0; round < 50; round++) {
        for (i = 0; i < COUNT(held); i++) {
            size = i % 10 ? 0 : 200000;
            if (krait__stack_take(pool, &cache, size, &held[i]) < 0) {
                atomic_fetch_add(&trouble, 1);
                return;
            }
            memset(held[i].high - 64, (int)mark, 64);
        }
        for (i = 0; i < COUNT(held); i++) {
            if (held[i].high[-1] != (char)mark)
                atomic_fetch_add(&trouble, 1);
            krait__stack_give(pool, i % 3 ? &cache : NULL, &held[i]);
        }
    }
    krait__stack_cache_flush(pool, &cache);
}

static void test_threads_share_a_pool(void **state)
{
    unsigned marks[4] = {1, 2, 3, 4};
    struct task *tasks[4];
    size_t i;

    (void)state;
    new_pool(SIZE);
    atomic_store(&trouble, 0);
    for (i = 0; i < COUNT(tasks); i++)
        tasks[i] = start(take_and_give, &marks[i]);
    for (i = 0; i < COUNT(tasks); i++)
        join(tasks[i]);
    assert_int_equal(atomic_load(&trouble), 0);
    assert_in_range(counts().mapped, 100, 400);
    assert_int_equal(counts().resident, 0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_a_stack_can_be_written_to_its_ends), ONCE},
        {TEST(test_stacks_do_not_overlap), ONCE},
        {TEST(test_tops_have_several_colours), ONCE},
        {TEST(test_a_stack_keeps_its_ends_when_reused), ONCE},
        {TEST(test_a_cache_gives_the_hottest_first), ONCE},
        {TEST(test_a_full_cache_passes_on_to_the_pool), ONCE},
        {TEST(test_other_sizes_are_reused_too), ONCE},
        {TEST(test_what_is_too_much_is_refused), ONCE},
        {TEST(test_guards_fault_and_are_found), ONCE},
        {TEST(test_guards_survive_giving_back), ONCE},
        {TEST(test_without_guard_install_it_is_mprotect), ONCE},
        {TEST(test_past_the_kernels_limit_there_is_no_guard), ONCE},
        {TEST(test_that_there_are_no_guards_is_said), ONCE},
        {TEST(test_locked_memory_is_guarded_too), ONCE},
        {TEST(test_a_signal_handler_can_tell_the_stack), ONCE},
        {TEST(test_what_is_given_to_the_pool_gives_its_memory_back), ONCE},
        {TEST(test_a_stack_is_mapped_as_it_is_touched), ONCE},
        {TEST(test_ten_thousand_stacks), ONCE},
#if KRAIT__ASAN
        {TEST(test_what_a_stack_points_to_is_no_leak), ONCE},
#endif
        {TEST(test_threads_share_a_pool), ONCE},
    };
    int rc = run_all(argc, argv, "stacks", tests, COUNT(tests));

    krait__stacks_free(pool);
    return rc;
}
