/* SPDX-License-Identifier: MIT
 *
 * stack.c - stacks carved out of arenas.
 *
 * An arena is one mapping, cut into slots of one kind: a guard, and above it
 * the usable bytes. The next arena of a kind is as large as all before it, up
 * to a limit: a million stacks are a few hundred mappings, a dozen stacks a few
 * megabytes of address space. Arenas stay until the pool goes, and their list
 * only grows, at its head: so a signal handler can walk it.
 *
 * The pool's default size is one kind; who wants more gets a power of two, and
 * who wants less the default: what isn't touched costs nothing. What is free is
 * kept as a list of addresses beside the arenas, not in the stacks: writing to
 * a cold one would give it a page again. That list has room for all slots of
 * its kind from the start, so that giving back can't fail.
 *
 * Guards are made when a slot is first taken, and stay. One made by mprotect(2)
 * splits a mapping in three, and a process may have vm.max_map_count of them
 * (65,530): what fails past that is not only mprotect but every malloc of some
 * size and every new thread. So only three quarters go to guards.
 */
#include "fiber/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/lock.h"
#include "fiber/instruments.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; not in Debian 12's headers */
#endif

/* A guard must not be stepped over by a frame that nobody touches before its
 * far end. The usual large one is that of a `char buf[65536]` and a little
 * more: so this, and a page. */
#define GUARD_SIZE ((size_t)64 << 10)

/* Colours: an eighth of a page's lines, so that with the fiber's own block and
 * a small handler's frames an idle stack still fits in one page. */
enum { COLOURS = 8, LINE = 64 };
#define COLOUR_ROOM ((size_t)(COLOURS - 1) * LINE)

/* Kinds beside the default have 2^MIN_ORDER usable bytes and more. */
enum {
    MIN_ORDER = 16,
    MAX_ORDER = sizeof(size_t) > 4 ? 40 : 30,
    KINDS = 1 + MAX_ORDER - MIN_ORDER + 1
};
#define SIZE_LIMIT ((size_t)1 << MAX_ORDER)

/* Slots of a kind's first arena and of its largest, and an arena's limit. */
enum { FIRST_SLOTS = 16, MOST_SLOTS = 4096 };
#define ARENA_LIMIT ((size_t)2 << 30)

struct kind {
    size_t usable, slot;
    struct arena *newest;
    size_t slots; /* of all its arenas */
    char **cold;  /* free stacks: `low` of each */
    size_t cold_count;
};

struct arena {
    struct arena *older; /* of any kind */
    const struct kind *kind;
    char *base;
    size_t slots;
    atomic_size_t carved; /* of these: have been taken, ever */
};

struct krait__stacks {
    struct krait__lock lock; /* the kinds, and adding an arena */
    struct kind kinds[KINDS];
    _Atomic(struct arena *) arenas;
    size_t page, guard;
    bool installs;       /* MADV_GUARD_INSTALL works */
    size_t mprotect_max; /* so many guards by mprotect */
    atomic_size_t mprotected, unguarded, carved, bytes;
};

struct krait__stack_test krait__stack_test = {.mprotect_max = SIZE_MAX};

/* --- guards ------------------------------------------------------------ */

/* Whether reading `page` faults, without a fault. */
static bool faults(const char *page)
{
    int fds[2];
    bool refused;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    refused = write(fds[1], page, 1) < 0 && errno == EFAULT;
    close(fds[0]);
    close(fds[1]);
    return refused;
}

/* Under qemu-user the call says 0 and does nothing, so that it isn't believed.
 * And LeakSanitizer reads what /proc/self/maps calls readable. */
static bool guards_are_installed(size_t page)
{
    bool works;
    char *p;

    if (KRAIT__ASAN || krait__stack_test.no_guard_install)
        return false;
    p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
             -1, 0);
    if (p == MAP_FAILED)
        return false;
    works = madvise(p, page, MADV_GUARD_INSTALL) == 0 && faults(p);
    munmap(p, page);
    return works;
}

/* Each takes two mappings: its own, and the stack's that it cuts off. */
static size_t mprotected_at_most(void)
{
    size_t mappings = 65530; /* the kernel's default */
    char text[32];
    ssize_t n;
    int fd;

    if (krait__stack_test.mprotect_max != SIZE_MAX)
        return krait__stack_test.mprotect_max;
    fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof text - 1);
        close(fd);
        text[n > 0 ? n : 0] = '\0';
        if (n > 0)
            mappings = strtoul(text, NULL, 10);
    }
    return mappings / 4 * 3 / 2;
}

static bool guard_by_mprotect(struct krait__stacks *pool, char *guard)
{
    if (atomic_fetch_add(&pool->mprotected, 1) < pool->mprotect_max &&
        mprotect(guard, pool->guard, PROT_NONE) == 0)
        return true;
    atomic_fetch_sub(&pool->mprotected, 1);
    return false;
}

/* MADV_GUARD_INSTALL fails even where it works, on locked memory (mlockall). */
static void make_guard(struct krait__stacks *pool, char *guard)
{
    if (pool->installs && madvise(guard, pool->guard, MADV_GUARD_INSTALL) == 0)
        return;
    if (!guard_by_mprotect(pool, guard))
        atomic_fetch_add(&pool->unguarded, 1);
}

/* --- kinds ------------------------------------------------------------- */

static void init_kind(struct krait__stacks *pool, struct kind *kind,
                      size_t size)
{
    kind->usable =
        (size + COLOUR_ROOM + pool->page - 1) / pool->page * pool->page;
    kind->slot = pool->guard + kind->usable;
}

/* Whose stacks have `size` bytes at least, whatever their colour. NULL: that's
 * too much. */
static struct kind *kind_for(struct krait__stacks *pool, size_t size)
{
    struct kind *kind = pool->kinds;

    if (size > SIZE_LIMIT)
        return NULL;
    while (kind->usable - COLOUR_ROOM < size)
        kind++;
    return kind;
}

/* Whose stack it is. Its colour is less than a page, and so less than kinds
 * differ by. */
static struct kind *kind_of(struct krait__stacks *pool,
                            const struct krait__stack *stack)
{
    return kind_for(pool, (size_t)(stack->high - stack->low) - COLOUR_ROOM);
}

/* The colour follows from the address. */
static struct krait__stack stack_at(const struct kind *kind, char *low)
{
    size_t colour = (uintptr_t)low / kind->slot % COLOURS;

    return (struct krait__stack){
        .low = low,
        .high = low + kind->usable - colour * LINE,
    };
}

/* --- arenas ------------------------------------------------------------ */

static struct arena *map_arena(const struct kind *kind, size_t slots)
{
    size_t size = slots * kind->slot;
    struct arena *arena = malloc(sizeof *arena);
    void *base;

    if (!arena)
        return NULL;
    base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) {
        free(arena);
        return NULL;
    }
    /* A huge page would make every stack in it resident. EINVAL: there are
     * none in this kernel. */
    madvise(base, size, MADV_NOHUGEPAGE);
#if KRAIT__ASAN
    /* What only a fiber's locals point to is no leak. */
    __lsan_register_root_region(base, size);
#endif
    arena->kind = kind;
    arena->base = base;
    arena->slots = slots;
    atomic_init(&arena->carved, 0);
    return arena;
}

static void unmap_arena(struct arena *arena)
{
    size_t size = arena->slots * arena->kind->slot;

#if KRAIT__ASAN
    __lsan_unregister_root_region(arena->base, size);
#endif
    munmap(arena->base, size);
    free(arena);
}

/* How many slots the next arena has. */
static size_t next_slots(const struct kind *kind)
{
    size_t slots = kind->slots > FIRST_SLOTS ? kind->slots : FIRST_SLOTS;

    if (slots > MOST_SLOTS)
        slots = MOST_SLOTS;
    if (slots > ARENA_LIMIT / kind->slot)
        slots = ARENA_LIMIT / kind->slot;
    return slots ? slots : 1;
}

/* Another arena for `kind`: false where there is no memory. Under the lock. */
static bool grow(struct krait__stacks *pool, struct kind *kind)
{
    size_t slots = next_slots(kind);
    struct arena *arena;
    char **cold;

    cold = reallocarray(kind->cold, kind->slots + slots, sizeof *cold);
    if (!cold)
        return false;
    kind->cold = cold;
    /* Address space may be short (RLIMIT_AS, strict overcommit). */
    while (!(arena = map_arena(kind, slots)) && slots > 1)
        slots /= 2;
    if (!arena)
        return false;
    kind->newest = arena;
    kind->slots += slots;
    atomic_fetch_add(&pool->bytes, slots * kind->slot);
    arena->older = atomic_load_explicit(&pool->arenas, memory_order_relaxed);
    atomic_store_explicit(&pool->arenas, arena, memory_order_release);
    return true;
}

/* A slot that was never taken; NULL: no memory. Under the lock. */
static char *carve(struct krait__stacks *pool, struct kind *kind)
{
    struct arena *arena = kind->newest;
    size_t n = arena ? atomic_load(&arena->carved) : 0;

    if (!arena || n == arena->slots) {
        if (!grow(pool, kind))
            return NULL;
        arena = kind->newest;
        n = 0;
    }
    atomic_store(&arena->carved, n + 1);
    atomic_fetch_add(&pool->carved, 1);
    return arena->base + n * kind->slot;
}

/* --- the pool ---------------------------------------------------------- */

struct krait__stacks *krait__stacks_new(size_t size)
{
    struct krait__stacks *pool;
    unsigned i;

    if (size > SIZE_LIMIT)
        return NULL;
    pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->page = (size_t)sysconf(_SC_PAGESIZE);
    pool->guard = GUARD_SIZE + pool->page;
    init_kind(pool, &pool->kinds[0], size ? size : 1);
    for (i = 1; i < KINDS; i++)
        init_kind(pool, &pool->kinds[i], (size_t)1 << (MIN_ORDER + i - 1));
    pool->installs = guards_are_installed(pool->page);
    pool->mprotect_max = mprotected_at_most();
    return pool;
}

void krait__stacks_free(struct krait__stacks *pool)
{
    struct arena *arena, *older;
    unsigned i;

    if (!pool)
        return;
    for (arena = atomic_load(&pool->arenas); arena; arena = older) {
        older = arena->older;
        unmap_arena(arena);
    }
    for (i = 0; i < KINDS; i++)
        free(pool->kinds[i].cold);
    free(pool);
}

/* NULL: no memory. */
static char *take_cold(struct krait__stacks *pool, struct kind *kind)
{
    char *slot = NULL;
    char *low = NULL;

    krait__lock(&pool->lock);
    if (kind->cold_count)
        low = kind->cold[--kind->cold_count];
    else
        slot = carve(pool, kind);
    krait__unlock(&pool->lock);
    if (!slot)
        return low;
    make_guard(pool, slot);
    return slot + pool->guard;
}

/* Its memory goes before anybody can take it. A guard by MADV_GUARD_INSTALL
 * would outlive MADV_DONTNEED; it isn't in its range anyway. Locked memory
 * (mlockall) stays. */
static void give_cold(struct krait__stacks *pool, struct kind *kind, char *low)
{
    madvise(low, kind->usable, MADV_DONTNEED);
    krait__lock(&pool->lock);
    kind->cold[kind->cold_count++] = low;
    krait__unlock(&pool->lock);
}

/* Whether stacks of this size are the ones that caches hold. */
static bool is_default(const struct krait__stacks *pool, size_t size)
{
    return size <= pool->kinds[0].usable - COLOUR_ROOM;
}

int krait__stack_take(struct krait__stacks *pool,
                      struct krait__stack_cache *cache, size_t size,
                      struct krait__stack *out)
{
    struct kind *kind;
    char *low;

    if (cache && cache->count > 0 && is_default(pool, size)) {
        *out = cache->hot[--cache->count];
        return 0;
    }
    kind = kind_for(pool, size);
    low = kind ? take_cold(pool, kind) : NULL;
    if (!low)
        return -ENOMEM;
    *out = stack_at(kind, low);
    return 0;
}

void krait__stack_give(struct krait__stacks *pool,
                       struct krait__stack_cache *cache,
                       struct krait__stack *stack)
{
    struct krait__stack given = *stack;
    struct kind *kind = kind_of(pool, &given);

    *stack = (struct krait__stack){.low = NULL};
    if (kind == pool->kinds && cache && cache->count < KRAIT__HOT_STACKS)
        cache->hot[cache->count++] = given;
    else
        give_cold(pool, kind, given.low);
}

void krait__stack_cache_flush(struct krait__stacks *pool,
                              struct krait__stack_cache *cache)
{
    while (cache->count > 0)
        give_cold(pool, pool->kinds, cache->hot[--cache->count].low);
}

/* --- asking ------------------------------------------------------------ */

bool krait__stack_guarding(struct krait__stacks *pool, const void *addr,
                           struct krait__stack *out)
{
    const struct arena *a =
        atomic_load_explicit(&pool->arenas, memory_order_acquire);

    for (; a; a = a->older) {
        size_t offset = (uintptr_t)addr - (uintptr_t)a->base;
        size_t slot = a->kind->slot;

        if (offset >= a->slots * slot)
            continue;
        if (offset % slot >= pool->guard)
            return false;
        *out = stack_at(a->kind, a->base + offset / slot * slot + pool->guard);
        return true;
    }
    return false;
}

static uint64_t resident_pages(struct arena *arena, size_t page)
{
    size_t pages = atomic_load(&arena->carved) * (arena->kind->slot / page);
    unsigned char in[2048];
    uint64_t count = 0;
    size_t done, chunk, i;

    for (done = 0; done < pages; done += chunk) {
        chunk = pages - done < sizeof in ? pages - done : sizeof in;
        if (mincore(arena->base + done * page, chunk * page, in) < 0)
            continue;
        for (i = 0; i < chunk; i++)
            count += in[i] & 1;
    }
    return count;
}

void krait__stacks_count(struct krait__stacks *pool,
                         struct krait__stack_counts *out)
{
    struct arena *arena =
        atomic_load_explicit(&pool->arenas, memory_order_acquire);

    *out = (struct krait__stack_counts){
        .mapped = atomic_load(&pool->carved),
        .unguarded = atomic_load(&pool->unguarded),
        .bytes = atomic_load(&pool->bytes),
        .guards = pool->installs ? "MADV_GUARD_INSTALL" : "mprotect",
    };
    if (out->mapped && out->unguarded >= out->mapped)
        out->guards = "none";
    for (; arena; arena = arena->older)
        out->resident += resident_pages(arena, pool->page) * pool->page;
}
