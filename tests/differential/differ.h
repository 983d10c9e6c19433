/* SPDX-License-Identifier: MIT
 *
 * differ.h - the differential test: the same random programs on plain libc and
 * on Krait in threads and in fibers, and not one difference.
 *
 *   differ_generate.c what a seed means: a program, a list of steps
 *   differ_run.c      runs a program with one performer, and records
 *   differ_settle.c   waits until the kernel has delivered what was sent
 *   differ_libc.c     the reference: system calls that block, on plain fds
 *   differ_krait.c    the same calls of Krait's
 *   differ_threads.c  two flows of control, as threads
 *   differ_fibers.c   two flows of control, as fibers
 *   differ_compare.c  the differences, which of them are known, and printing
 *   differ_mutants.c  performers that are wrong on purpose
 *   differ_census.c   what the programs reach
 *   differ_main.c     seeds, processes, batches, shrinking
 *
 * A performer is an api (libc or Krait) and flows (threads or fibers). The
 * first one is libc: the leader. It finds out which calls block, and what wakes
 * them; the others follow, and must block and wake at the same places.
 *
 * A program has a main flow. A step that may have to wait for ever is made in
 * a second flow, the partner: once it is seen to wait, the main flow performs
 * the steps that follow as acts (sends something, closes, resets, interrupts),
 * each only when the partner has come to rest after the one before. If it still
 * waits after the last, it is put to an end, as the step says: interrupted,
 * cancelled, or its socket closed under it. So the two flows are never at work
 * at the same time, and every result has one right value.
 */
#ifndef KRAIT_TESTS_DIFFER_H
#define KRAIT_TESTS_DIFFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <krait.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum {
    SLOTS = 10,     /* sockets that a program has at most */
    STEPS_MAX = 96, /* steps of a program */
    BYTES_MAX = 400000
};

/* --- programs ---------------------------------------------------------- */

/* Where a socket lives: its family, and the form of its address. */
enum place { UNIX_PATH, UNIX_NAME, INET_4, INET_6, PLACES };

enum op {
    OP_SOCKET,   /* slot: place, type */
    OP_PAIR,     /* slot, other: type */
    OP_BIND,     /* slot: an address of its own */
    OP_LISTEN,   /* slot: value is the backlog */
    OP_ACCEPT,   /* slot; the new socket goes to other */
    OP_CONNECT,  /* slot to the address of other, or what `to` says */
    OP_RECV,     /* slot: len, flags */
    OP_RECVFROM, /* likewise */
    OP_SEND,
    OP_SENDALL,
    OP_SENDTO, /* slot to other */
    OP_FDS,    /* slot: a message with fds (value of them), by sendmsg(2) */
    OP_FILL,   /* sends pieces of len until it would have to wait */
    OP_DRAIN,  /* receives until it would have to wait; at most value bytes */
    OP_FLOOD,  /* the partner sends len bytes, the main flow receives them */
    OP_SHUTDOWN,
    OP_CLOSE,
    OP_RESET, /* closes with SO_LINGER 0 */
    OP_INTERRUPT,
    OP_GETNAMES,
    OP_GETOPT, /* option */
    OP_SETOPT, /* option, value */
    OP_POLL,   /* poll(2) says what the kernel thinks of the fd */
    OPS
};

/* A socket's timeout, as a step sets it. */
enum wait {
    AT_ONCE, /* 0 */
    SHORT,   /* few ms: passes, where the call has to wait */
    FAR,     /* never passes in practice, but is a timeout all the same */
    FOREVER, /* none */
    WAITS
};

/* A datagram socket that is connected, but to none of the slots: to the dead
 * address. One that was dissolved, and has lost its own address by that. */
enum { PEER_UNKNOWN = -2, PEER_LOST = -3 };

/* What a connect, a sendto goes to. */
enum to { TO_SLOT, TO_DEAD, TO_NOTHING, TO_UNSPEC, TOS };

/* How a partner that waits in vain is put to an end. */
enum end { END_INTERRUPT, END_CANCEL, END_CLOSE, ENDS };

/* By index, so that names can be printed. */
enum sockopt {
    OPT_ERROR,
    OPT_TYPE,
    OPT_ACCEPTCONN,
    OPT_SNDBUF,
    OPT_OOBINLINE,
    OPT_RCVTIMEO,
    OPT_SNDTIMEO,
    OPT_RECVERR,
    OPT_PASSCRED,
    OPT_PEEK_OFF,
    OPTIONS
};

struct step {
    uint8_t op, slot, other;
    uint8_t place, type;
    uint8_t wait;
    uint8_t partner; /* made in the second flow */
    uint8_t acts;    /* then: how many of the next steps are made meanwhile */
    uint8_t end;
    uint8_t to, option;
    int flags, value;
    uint32_t len;
};

struct program {
    uint64_t seed;
    unsigned count;
    struct step step[STEPS_MAX];
    bool skip[STEPS_MAX]; /* by shrinking */
    bool far_worker;      /* the partner is a fiber of another worker */
};

/* The program of a seed; always the same. */
void generate(struct program *p, uint64_t seed);

/* One line that tells a step. */
const char *step_text(const struct step *st, char *buf, size_t size);

const char *op_name(unsigned op);
const char *option_name(unsigned option);
const char *flags_text(int flags, char *buf, size_t size);

/* --- what was seen ----------------------------------------------------- */

/* Where the partner stood when the main flow looked. */
struct rest {
    bool done;
    bool urgent;   /* the kernel has an urgent byte for it */
    int inq, outq; /* bytes waiting at its socket; -1: not told */
    bool late;     /* did not come to where the leader was */
};

struct outcome {
    bool ran;
    int64_t res; /* -1: err says why */
    int err;
    uint32_t sum;       /* of the buffer, to its end: of untouched bytes too */
    uint32_t extra;     /* an address, names, a value */
    bool blocked;       /* the partner was seen to wait */
    bool ended;         /* ... until it was put to an end */
    struct rest before; /* an act: the partner, before it */
    struct rest after;  /* a partner's step: after the last act */
};

/* What is left of a socket at the end. */
struct left {
    bool open;
    int events, error, kept, mark;
    int64_t bytes; /* or messages, or connections */
    uint32_t sum;
    int err; /* what ended the reading */
};

struct record {
    struct outcome step[STEPS_MAX];
    struct left left[SLOTS];
    bool too_slow; /* a SYN that a full backlog had dropped was sent again */
};

/* --- performers -------------------------------------------------------- */

struct world;

struct slot {
    int fd; /* -1: no socket */
    krait_sock *s;
    uint8_t place, type;
    bool listening;
    int8_t queue[16]; /* Unix: who has connected and waits; -1: is gone */
    uint8_t queued;
    /* Both flows may have to do with these: */
    atomic_bool interrupted;  /* every call that may wait fails from now on */
    atomic_int peer;          /* the slot that it is connected to; -1 */
    atomic_int target;        /* ... that it last wanted to connect to; -1 */
    atomic_bool fds_came;     /* messages with fds were sent to it */
    atomic_uint resets;       /* Unix: its peer went and left bytes unread */
    atomic_bool urgent;       /* MSG_OOB was used on it, or towards it */
    atomic_bool urgent_taken; /* the urgent byte, perhaps */
    atomic_bool corked;       /* MSG_MORE may hold bytes back */
    atomic_uint budget;       /* TCP: bytes that may still be sent on it */
    bool rcvpeek;             /* SO_PEEK_OFF was used */
    bool peer_closed;
    uint64_t sent_at_close; /* TCP: bytes, when the peer was closed */
    struct sockaddr_storage name;
    socklen_t name_len; /* 0: never bound */
    /* libc's: */
    bool in_flood;
    atomic_int kept;
    atomic_bool naps;     /* between two attempts to send */
    atomic_uint attempts; /* ... that it has made */
    atomic_bool stop;     /* the call that waits is to give up */
    atomic_int nonblock, rcvtimeo, sndtimeo; /* as they are; -1: not known */
};

/* The calls, in one of two tongues. They return a result, or a negative
 * errno. `waits` is set before: w->wait. */
struct api {
    const char *name;
    int (*socket)(struct slot *s, int family, int type);
    int (*pair)(struct slot *a, struct slot *b, int type);
    int (*bind)(struct slot *s, const struct sockaddr *sa, socklen_t len);
    int (*listen)(struct slot *s, int backlog);
    int (*accept)(struct slot *s, enum wait wait, struct slot *conn,
                  struct sockaddr_storage *sa, socklen_t *len);
    int (*connect)(struct slot *s, enum wait wait, const struct sockaddr *sa,
                   socklen_t len);
    ssize_t (*recv)(struct slot *s, enum wait wait, void *buf, size_t len,
                    int flags);
    ssize_t (*recvfrom)(struct slot *s, enum wait wait, void *buf, size_t len,
                        int flags, struct sockaddr_storage *sa,
                        socklen_t *alen);
    ssize_t (*send)(struct slot *s, enum wait wait, const void *buf, size_t len,
                    int flags);
    int (*sendall)(struct slot *s, enum wait wait, const void *buf, size_t len,
                   int flags);
    ssize_t (*sendto)(struct slot *s, enum wait wait, const void *buf,
                      size_t len, int flags, const struct sockaddr *sa,
                      socklen_t alen);
    int (*shutdown)(struct slot *s, int how);
    int (*close)(struct slot *s);
    int (*ask_name)(struct slot *s, bool peer, struct sockaddr_storage *sa,
                    socklen_t *len);
    int (*getopt)(struct slot *s, int level, int option, int *value);
    int (*setopt)(struct slot *s, int level, int option, const void *value,
                  socklen_t len);
    int (*kept)(struct slot *s); /* an error that Krait keeps; 0 */
    /* Makes the call that waits on `s` give up, once; and takes it back where
     * it has a lasting effect. */
    void (*stop)(struct world *w, struct slot *s);
    void (*unstop)(struct slot *s);
    int (*interrupt)(struct slot *s);
};

extern const struct api libc_api, krait_api;

/* How the main flow and its partner run. */
struct flows {
    const char *name;
    /* Starts `fn(arg)` in the second flow. */
    void (*begin)(struct world *w, void (*fn)(void *arg), void *arg);
    /* Whether it sleeps in a call; a moment's truth. */
    bool (*blocked)(struct world *w);
    /* Makes the call that waits fail, and nothing else; NULL: the api's stop
     * and unstop. */
    void (*cancel)(struct world *w);
    /* Pokes a flow that sleeps in a system call; NULL: no need. */
    void (*poke)(struct world *w);
    void (*join)(struct world *w);
    /* Lets others run: for looking again. `turn` counts up. */
    void (*pause)(unsigned turn);
};

struct flows_state; /* a flow's own */

extern const struct flows thread_flows, fiber_flows;
struct flows_state *threads_new(void);
void threads_free(struct flows_state *state);

struct performer {
    const char *name;
    const struct api *api;
    const struct flows *flows;
};

/* A program that is being run. */
struct world {
    const struct program *program;
    const struct performer *performer;
    const struct record *lead; /* NULL: this is the leader */
    struct record *record;
    struct flows_state *state;
    struct slot slot[SLOTS];
    atomic_uint now; /* the step, for the watchdog */
    bool impatient;  /* settle() has given up once */
    bool syn_waits;  /* a connect on TCP has found its backlog full */
    char where[48];  /* a prefix of paths and names */
    /* The partner: */
    int pending; /* its step; -1: none */
    atomic_bool done;
    struct slot conn;         /* what it accepted */
    unsigned attempts_before; /* libc's, to send, when we began to look */
    char *buf, *partner_buf;  /* BYTES_MAX each */
};

/* How long the partner is given to come to rest where the leader's did. */
extern int64_t rest_ns;

/* Memory for worlds: made once, used for many programs. `where` is unique in
 * the network namespace. */
void world_init(struct world *w, const struct performer *performer,
                struct flows_state *state, const char *where);
void world_free(struct world *w);

/* Runs the program. `lead` is the leader's record, or NULL. Everything is
 * closed when it returns. */
void run_program(struct world *w, const struct program *p,
                 const struct record *lead, struct record *record);

/* Programs to be run in one krait_run. */
struct fiber_batch {
    const struct performer *performer;
    enum krait_engine engine;
    const char *where;
    const struct program *programs;
    const struct record *lead;
    struct record *records;
    unsigned count;
    struct world **now;     /* for the watchdog: WATCHED of them */
    void (*finished)(void); /* a program: the watchdog may be fed */
};

enum { WATCHED = 8 };

/* 0; -1: there is no such engine here, and errno says why. */
int run_in_fibers(struct fiber_batch *b);

/* --- the kernel's pace --------------------------------------------------- */

/* Until what the step has sent over loopback is where it is going. */
void settle(struct world *w);

/* TCP: bytes that went out, ever. */
uint64_t tcp_sent(const struct slot *s);

/* UDP: what a receiver holds, before a datagram is sent to it. */
uint32_t udp_held(const struct slot *s);
void settle_udp(struct world *w, struct slot *from, int to, uint32_t held);

/* How often settle() has given up. */
extern atomic_uint unsettled;

int64_t now_ns(void);

/* Addresses that nobody answers at, for each place and type. */
void dead_address(unsigned place, unsigned type, struct sockaddr_storage *sa,
                  socklen_t *len);
void make_dead_addresses(const char *where);

unsigned family_of(unsigned place);
bool is_inet(const struct slot *s);
bool is_tcp(const struct slot *s);
bool is_udp(const struct slot *s);

/* Beside poll(2)'s events: Krait keeps an error. */
#define KEPT_ERROR 0x10000

/* --- judging ------------------------------------------------------------ */

/* The first difference between two records, in words; "" where there is
 * none. `*at` is the step, or p->count for what is left. */
bool differs(const struct program *p, const struct record *lead,
             const struct record *rec, char *words, size_t size, unsigned *at);

/* Prints a program, with each performer's results. */
void show_program(FILE *out, const struct program *p,
                  const struct performer *performers, unsigned count,
                  const struct record *records);

/* --- wrong on purpose ---------------------------------------------------- */

/* An api that is Krait's but for one fault; NULL: there are no more. */
const struct api *mutant_api(unsigned number, const char **what);

/* --- what is reached ----------------------------------------------------- */

struct census;
struct census *census_new(void); /* shared between processes */
void census_take(struct census *c, const struct program *p,
                 const struct record *rec);
void census_show(FILE *out, const struct census *c);
/* False, and says so, where something that is named in the table occurred less
 * often than it must. */
bool census_enough(FILE *out, const struct census *c);

#endif
