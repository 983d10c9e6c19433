/* SPDX-License-Identifier: MIT
 *
 * cross_fibers.c - contexts and stacks where cmocka isn't: a program that is
 * built for another machine and run by an emulator.
 *
 * It looks at what differs between machines: which registers a switch keeps,
 * how a context begins, how guards are made. test_context.c and test_stack.c
 * look at the rest.
 */
#include <errno.h>
#include <fenv.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#include "fiber/context.h"
#include "fiber/stack.h"

static int failures;

#define CHECK(what) check((what), #what, __LINE__)

static void check(bool ok, const char *what, int line)
{
    if (ok)
        return;
    fprintf(stderr, "cross_fibers.c:%d: not so: %s\n", line, what);
    failures++;
}

/* --- a context on a pool's stack --------------------------------------- */

static struct krait__stacks *pool;
static struct krait__context thread;

struct side {
    struct krait__context own;
    struct krait__stack stack;
    void (*run)(struct side *side);
    int turns;
    bool done;
};

static void side_main(void *arg)
{
    struct side *side = arg;

    side->run(side);
    side->done = true;
    krait__context_leave(&side->own, &thread);
}

static void begin_side(struct side *side, void (*run)(struct side *side))
{
    *side = (struct side){.run = run};
    if (krait__stack_take(pool, NULL, 0, &side->stack) < 0)
        abort();
    krait__context_make(&side->own, side->stack.low, side->stack.high,
                        side_main, side);
}

static void go_to(struct side *side)
{
    krait__context_switch(&thread, &side->own);
}

static void go_back(struct side *side)
{
    krait__context_switch(&side->own, &thread);
}

static void finish(struct side *side)
{
    while (!side->done)
        go_to(side);
    krait__context_end(&side->own);
    krait__stack_give(pool, NULL, &side->stack);
}

/* --- what a switch keeps ----------------------------------------------- */

/* So many values that every register which a callee keeps holds one. */
__attribute__((noinline)) static int hold_many(struct krait__context *own,
                                               struct krait__context *to,
                                               long seed)
{
    volatile long in = seed;
    long a = in + 1, b = in + 2, c = in + 3, d = in + 4, e = in + 5, f = in + 6,
         g = in + 7, h = in + 8, i = in + 9, j = in + 10, k = in + 11;
    double p = (double)a / 2, q = (double)b / 2, r = (double)c / 2,
           s = (double)d / 2, t = (double)e / 2, u = (double)f / 2,
           v = (double)g / 2, w = (double)h / 2, x = (double)i / 2;
    int wrong = 0;
    int round;

    for (round = 0; round < 50; round++) {
        krait__context_switch(own, to);
        wrong += a != in + 1 || b != in + 2 || c != in + 3 || d != in + 4;
        wrong += e != in + 5 || f != in + 6 || g != in + 7 || h != in + 8;
        wrong += i != in + 9 || j != in + 10 || k != in + 11;
        wrong += p * 2 != (double)a || q * 2 != (double)b;
        wrong += r * 2 != (double)c || s * 2 != (double)d;
        wrong += t * 2 != (double)e || u * 2 != (double)f;
        wrong += v * 2 != (double)g || w * 2 != (double)h;
        wrong += x * 2 != (double)i;
    }
    return wrong;
}

static void hold_many_there(struct side *side)
{
    side->turns = hold_many(&side->own, &thread, 1000);
}

static bool rounds_up(void)
{
    volatile double one = 1, tiny = 0x1p-200;

    return one + tiny > 1;
}

static void round_up_there(struct side *side)
{
    fesetround(FE_UPWARD);
    go_back(side);
    side->turns = rounds_up();
    fesetround(FE_TONEAREST);
}

static void print_there(struct side *side)
{
    char text[64];

    snprintf(text, sizeof text, "%s %.3f %Lg", "text", 1.5, 2.5L);
    go_back(side);
    side->turns = !strcmp(text, "text 1.500 2.5");
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context,
                                       void *arg)
{
    int *count = arg;

    (void)context;
    return ++*count < 50 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void unwind_there(struct side *side)
{
    _Unwind_Backtrace(count_frame, &side->turns);
}

static void test_contexts(void)
{
    struct side side;

    begin_side(&side, hold_many_there);
    CHECK(hold_many(&thread, &side.own, 77) == 0);
    finish(&side);
    CHECK(side.turns == 0);

    begin_side(&side, round_up_there);
    go_to(&side);
    CHECK(!rounds_up());
    finish(&side);
    CHECK(side.turns == 1);
    CHECK(!rounds_up());

    begin_side(&side, print_there);
    finish(&side);
    CHECK(side.turns == 1);

    begin_side(&side, unwind_there);
    finish(&side);
    CHECK(side.turns >= 2 && side.turns < 8);
}

static void three_turns(struct side *side)
{
    while (side->turns < 3) {
        side->turns++;
        go_back(side);
    }
}

static void test_many_contexts(void)
{
    enum { N = 2000 };
    struct side *sides = calloc(N, sizeof *sides);
    int i, turn;

    if (!sides)
        abort();
    for (i = 0; i < N; i++)
        begin_side(&sides[i], three_turns);
    for (turn = 1; turn <= 3; turn++)
        for (i = 0; i < N; i++) {
            go_to(&sides[i]);
            CHECK(sides[i].turns == turn);
        }
    for (i = 0; i < N; i++)
        finish(&sides[i]);
    free(sides);
}

/* --- guards ------------------------------------------------------------ */

static bool faults(const char *p)
{
    int fds[2];
    bool refused;

    if (pipe(fds) < 0)
        abort();
    refused = write(fds[1], p, 1) < 0 && errno == EFAULT;
    close(fds[0]);
    close(fds[1]);
    return refused;
}

static void test_guards(void)
{
    struct krait__stack stack, found;

    if (krait__stack_take(pool, NULL, 0, &stack) < 0)
        abort();
    CHECK(faults(stack.low - 1));
    CHECK(!faults(stack.low));
    CHECK(krait__stack_guarding(pool, stack.low - 1, &found));
    CHECK(found.low == stack.low && found.high == stack.high);
    krait__stack_give(pool, NULL, &stack);
}

int main(void)
{
    struct krait__stack_counts counts;

    pool = krait__stacks_new(64 << 10);
    if (!pool)
        abort();
    CHECK(krait__context_check() == 0);
    krait__context_adopt(&thread);
    test_contexts();
    test_many_contexts();
    test_guards();
    krait__stacks_count(pool, &counts);
    CHECK(counts.unguarded == 0);
    printf("contexts: %s; guards: %s\n", krait__context_name(), counts.guards);
    krait__stacks_free(pool);
    return failures != 0;
}
