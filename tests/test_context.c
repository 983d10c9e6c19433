/* SPDX-License-Identifier: MIT
 *
 * test_context.c - contexts, switched by hand: what a switch keeps, and that
 * the tools that watch stacks (sanitizers, Valgrind) see nothing wrong in it.
 */
#include "support.h"

#include <execinfo.h>
#include <fenv.h>
#include <math.h>

#include "fiber/context.h"

enum { STACK_SIZE = 256 << 10 };

/* A context on a stack of malloc's, and the thread that it talks to. */
struct side {
    struct krait__context own, *back;
    void *stack;
    void (*run)(struct side *side);
    int turns;
    bool done;
    void *arg;
};

static void side_main(void *arg)
{
    struct side *side = arg;

    side->run(side);
    side->done = true;
    krait__context_leave(&side->own, side->back);
}

static struct side *make_side(struct krait__context *back,
                              void (*run)(struct side *side), void *arg)
{
    struct side *side = own_block(sizeof *side);

    side->stack = own_block(STACK_SIZE);
    side->back = back;
    side->run = run;
    side->arg = arg;
    krait__context_make(&side->own, side->stack,
                        (char *)side->stack + STACK_SIZE, side_main, side);
    return side;
}

static void go_to(struct side *side)
{
    krait__context_switch(side->back, &side->own);
}

static void go_back(struct side *side)
{
    krait__context_switch(&side->own, side->back);
}

/* To its end. */
static void finish(struct side *side)
{
    while (!side->done)
        go_to(side);
    krait__context_end(&side->own);
}

static void count_turns(struct side *side)
{
    int max = *(int *)side->arg;

    while (side->turns < max) {
        side->turns++;
        go_back(side);
    }
}

static void test_control_goes_back_and_forth(void **state)
{
    struct krait__context thread;
    int max = 10000, i;
    struct side *side;

    (void)state;
    assert_int_equal(krait__context_check(), 0);
    krait__context_adopt(&thread);
    side = make_side(&thread, count_turns, &max);
    assert_int_equal(side->turns, 0);
    for (i = 1; i <= max; i++) {
        go_to(side);
        assert_int_equal(side->turns, i);
    }
    assert_false(side->done);
    finish(side);
    assert_int_equal(side->turns, max);
}

static void test_the_implementation_has_a_name(void **state)
{
    const char *name = krait__context_name();

    (void)state;
    print_message("%s\n", name);
    assert_true(!strcmp(name, "x86_64") || !strcmp(name, "aarch64") ||
                !strcmp(name, "ucontext"));
}

/* --- what a switch keeps ----------------------------------------------- */

/* More values across a switch than a callee keeps registers, integers and
 * doubles: optimised, every such register is in use. Returns what is wrong. */
__attribute__((noinline)) static int hold_many(struct krait__context *own,
                                               struct krait__context *to,
                                               uint64_t seed)
{
    volatile uint64_t in = seed;
    uint64_t a = in + 1, b = in * 3, c = in ^ 5, d = in + 7, e = in * 11,
             f = in ^ 13, g = in + 17, h = in * 19, i = in ^ 23, j = in + 29;
    double p = (double)(in + 1) * .5, q = (double)(in + 2) * .25,
           r = (double)(in + 3) * .125, s = (double)(in + 4) * .75,
           t = (double)(in + 5) * .5, u = (double)(in + 6) * .25,
           v = (double)(in + 7) * .125, w = (double)(in + 8) * .75;
    int wrong = 0, round;

    for (round = 0; round < 100; round++) {
        krait__context_switch(own, to);
        wrong += a++ != in + 1 + (unsigned)round;
        wrong += b != in * 3;
        wrong += c != (in ^ 5);
        wrong += d++ != in + 7 + (unsigned)round;
        wrong += e != in * 11;
        wrong += f != (in ^ 13);
        wrong += g != in + 17;
        wrong += h != in * 19;
        wrong += i != (in ^ 23);
        wrong += j != in + 29;
        wrong += p != (double)(in + 1) * .5;
        wrong += q != (double)(in + 2) * .25;
        wrong += r != (double)(in + 3) * .125;
        wrong += s != (double)(in + 4) * .75;
        wrong += t != (double)(in + 5) * .5;
        wrong += u != (double)(in + 6) * .25;
        wrong += v != (double)(in + 7) * .125;
        wrong += w != (double)(in + 8) * .75;
    }
    return wrong;
}

static void hold_many_there(struct side *side)
{
    side->turns = hold_many(&side->own, side->back, 1000003);
}

static void test_values_in_registers_are_kept(void **state)
{
    struct krait__context thread;
    struct side *side;

    (void)state;
    krait__context_adopt(&thread);
    side = make_side(&thread, hold_many_there, NULL);
    assert_int_equal(hold_many(&thread, &side->own, 77), 0);
    finish(side);
    assert_int_equal(side->turns, 0);
}

/* How doubles and long doubles are rounded now: on x86-64 by two units of the
 * CPU, each with a control word of its own. Conversions to integers, since of
 * all that rounds Valgrind heeds the control words only there. */
static bool rounds_up(void)
{
    volatile double half = .5;

    return lrint(half) == 1;
}

static bool rounds_up_long(void)
{
    volatile long double half = .5L;

    return lrintl(half) == 1;
}

static void round_up_there(struct side *side)
{
    int *wrong = side->arg;

    *wrong += rounds_up() || rounds_up_long();
    fesetround(FE_UPWARD);
    *wrong += !rounds_up() || !rounds_up_long();
    go_back(side);
    *wrong += !rounds_up() || !rounds_up_long();
}

static void test_each_context_has_its_rounding(void **state)
{
    struct krait__context thread;
    struct side *side;
    int wrong = 0;
    bool up, up_long;

    (void)state;
    krait__context_adopt(&thread);
    side = make_side(&thread, round_up_there, &wrong);
    go_to(side);
    up = rounds_up();
    up_long = rounds_up_long();
    finish(side);
    fesetround(FE_TONEAREST);
    assert_false(up);
    assert_false(up_long);
    assert_int_equal(wrong, 0);
}

static void set_errno(struct side *side)
{
    errno = EXDEV;
    go_back(side);
    side->turns = errno;
}

/* The scheduler keeps errno for its fibers, and relies on that. */
static void test_errno_is_nobodys(void **state)
{
    struct krait__context thread;
    struct side *side;

    (void)state;
    krait__context_adopt(&thread);
    side = make_side(&thread, set_errno, NULL);
    errno = ENOENT;
    go_to(side);
    assert_int_equal(errno, EXDEV);
    errno = EDOM;
    finish(side);
    assert_int_equal(side->turns, EDOM);
}

/* --- stacks ------------------------------------------------------------ */

__attribute__((noinline)) static uint64_t descend(struct side *side,
                                                  unsigned depth)
{
    volatile unsigned char frame[64];
    uint64_t below;

    memset((unsigned char *)frame, (int)(depth & 0xff), sizeof frame);
    if (depth == 0) {
        go_back(side);
        return 0;
    }
    below = descend(side, depth - 1);
    return below + depth + (frame[depth % sizeof frame] != (depth & 0xff));
}

static void descend_there(struct side *side)
{
    uint64_t *sum = side->arg;

    *sum = descend(side, 200);
}

static void test_a_context_can_be_left_in_deep_recursion(void **state)
{
    struct krait__context thread;
    uint64_t one = 0, two = 0;
    struct side *a, *b;

    (void)state;
    krait__context_adopt(&thread);
    a = make_side(&thread, descend_there, &one);
    b = make_side(&thread, descend_there, &two);
    go_to(a);
    go_to(b);
    finish(a);
    finish(b);
    assert_int_equal(one, 200 * 201 / 2);
    assert_int_equal(two, 200 * 201 / 2);
}

static void print_something(struct side *side)
{
    char *text = side->arg;

    snprintf(text, 64, "%s %.3f %d", "text", 1.5, 42);
    go_back(side);
    snprintf(text, 64, "%.20Lf", 1.25L);
}

/* printf needs the stack's alignment. */
static void test_a_context_can_print(void **state)
{
    struct krait__context thread;
    struct side *side;
    char text[64];

    (void)state;
    krait__context_adopt(&thread);
    side = make_side(&thread, print_something, text);
    go_to(side);
    assert_string_equal(text, "text 1.500 42");
    finish(side);
    assert_string_equal(text, "1.25000000000000000000");
}

static void leave_locals_behind(struct side *side)
{
    char locals[1000];
    char *volatile p = locals;

    memset(p, side->turns, sizeof locals);
    side->done = true;
    krait__context_leave(&side->own, side->back);
}

/* What never returned has left its red zones there. */
static void test_a_stack_is_used_again(void **state)
{
    struct krait__context thread;
    struct side *side;
    int i, max = 3;

    (void)state;
    krait__context_adopt(&thread);
    side = make_side(&thread, leave_locals_behind, NULL);
    for (i = 0; i < 20; i++) {
        finish(side);
        side->done = false;
        side->turns = 0;
        side->arg = &max;
        side->run = i % 2 ? leave_locals_behind : count_turns;
        memset(side->stack, i, STACK_SIZE);
        krait__context_make(&side->own, side->stack,
                            (char *)side->stack + STACK_SIZE - 64 * (i % 8),
                            side_main, side);
    }
    finish(side);
}

static void test_a_context_may_end_before_it_begins(void **state)
{
    struct krait__context thread;
    struct side *side;

    (void)state;
    krait__context_adopt(&thread);
    side = make_side(&thread, count_turns, NULL);
    krait__context_end(&side->own);
    assert_int_equal(side->turns, 0);
}

/* ThreadSanitizer has room for 8,128 threads and fibers, ever so slowly. */
static void test_thousands_of_contexts_take_turns(void **state)
{
    unsigned count = UNDER_TSAN ? 100 : under_valgrind() ? 200 : 2000, i;
    struct side **sides = own_block(count * sizeof(struct side *));
    struct krait__context thread;
    int max = 3, turn;

    (void)state;
    krait__context_adopt(&thread);
    for (i = 0; i < count; i++) {
        sides[i] = calloc(1, sizeof *sides[i]);
        assert_non_null(sides[i]);
        *sides[i] = (struct side){
            .back = &thread,
            .run = count_turns,
            .arg = &max,
            .stack = malloc(STACK_SIZE / 4),
        };
        assert_non_null(sides[i]->stack);
        krait__context_make(&sides[i]->own, sides[i]->stack,
                            (char *)sides[i]->stack + STACK_SIZE / 4, side_main,
                            sides[i]);
    }
    for (turn = 1; turn <= max; turn++)
        for (i = 0; i < count; i++) {
            go_to(sides[i]);
            assert_int_equal(sides[i]->turns, turn);
        }
    for (i = 0; i < count; i++) {
        finish(sides[i]);
        free(sides[i]->stack);
        free(sides[i]);
    }
}

static void pass_on(struct side *side)
{
    struct side *next = side->arg;

    side->turns++;
    if (next)
        krait__context_switch(&side->own, &next->own);
    else
        go_back(side);
    side->turns++;
}

/* Not only from the thread and back. */
static void test_contexts_switch_to_each_other(void **state)
{
    struct krait__context thread;
    struct side *a, *b, *c;

    (void)state;
    krait__context_adopt(&thread);
    c = make_side(&thread, pass_on, NULL);
    b = make_side(&thread, pass_on, c);
    a = make_side(&thread, pass_on, b);
    go_to(a);
    assert_int_equal(a->turns + b->turns + c->turns, 3);
    finish(a);
    finish(b);
    finish(c);
    assert_int_equal(a->turns + b->turns + c->turns, 6);
}

/* --- looking at it ----------------------------------------------------- */

struct trace {
    void *frames[64];
    int count;
};

static void look_back(struct side *side)
{
    struct trace *trace = side->arg;

    trace->count = backtrace(trace->frames, COUNT(trace->frames));
}

/* Above the stack lies what an unwinder that goes on past a context's begin
 * would take for return addresses. */
static void test_a_backtrace_ends(void **state)
{
    char *bait = (char *)(uintptr_t)look_back + 4;
    struct krait__context thread;
    struct trace trace;
    struct side *side;
    char **above;
    int i;

    (void)state;
    krait__context_adopt(&thread);
    side = make_side(&thread, look_back, &trace);
    krait__context_end(&side->own);
    above = (char **)((char *)side->stack + STACK_SIZE - 1024);
    for (i = 0; i < 128; i++)
        above[i] = bait;
    krait__context_make(&side->own, side->stack, above, side_main, side);
    finish(side);
    assert_in_range(trace.count, 2, 8);
    for (i = 0; i < trace.count; i++)
        assert_ptr_not_equal(trace.frames[i], bait);
}

/* --- threads ----------------------------------------------------------- */

struct many {
    unsigned sum;
};

static void switch_in_thread(void *arg)
{
    struct many *many = arg;
    struct krait__context thread;
    struct side side = {.back = &thread, .run = count_turns};
    char *stack = malloc(STACK_SIZE);
    int max = 1000;

    if (!stack)
        return;
    krait__context_adopt(&thread);
    side.arg = &max;
    krait__context_make(&side.own, stack, stack + STACK_SIZE, side_main, &side);
    finish(&side);
    many->sum += (unsigned)side.turns;
    free(stack);
}

static void test_each_thread_has_contexts_of_its_own(void **state)
{
    struct many many[3] = {{0}};
    struct task *tasks[3];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(many); i++)
        tasks[i] = start(switch_in_thread, &many[i]);
    for (i = 0; i < COUNT(many); i++) {
        join(tasks[i]);
        assert_int_equal(many[i].sum, 1000);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_control_goes_back_and_forth), ONCE},
        {TEST(test_the_implementation_has_a_name), ONCE},
        {TEST(test_values_in_registers_are_kept), ONCE},
        {TEST(test_each_context_has_its_rounding), ONCE},
        {TEST(test_errno_is_nobodys), ONCE},
        {TEST(test_a_context_can_be_left_in_deep_recursion), ONCE},
        {TEST(test_a_context_can_print), ONCE},
        {TEST(test_a_stack_is_used_again), ONCE},
        {TEST(test_a_context_may_end_before_it_begins), ONCE},
        {TEST(test_thousands_of_contexts_take_turns), ONCE},
        {TEST(test_contexts_switch_to_each_other), ONCE},
        {TEST(test_a_backtrace_ends), ONCE},
        {TEST(test_each_thread_has_contexts_of_its_own), ONCE},
    };

    return run_all(argc, argv, "contexts", tests, COUNT(tests));
}
