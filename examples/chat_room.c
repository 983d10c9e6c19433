/* SPDX-License-Identifier: MIT
 *
 * chat_room.c - a room in which everybody hears what the others say:
 *
 *     chat_room 127.0.0.1:8001 &
 *     ncat 127.0.0.1 8001          the first line is who you are
 *
 * A member has two fibers: one reads its lines, the other writes what its
 * channel brings. Speaking only fills channels and never waits, so that whoever
 * reads slowly holds nobody up: with a full channel one is dropped. Ctrl-C ends
 * the room, with status 0.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <krait.h>

enum {
    NICK_MAX = 24,        /* bytes, with the NUL; what is longer is cut */
    LINE_MAX_BYTES = 256, /* likewise; a longer line becomes several */
    BEHIND = 32,          /* lines that a member may lag */
    SEND_BUFFER = 65536   /* bytes that may lag in the kernel, besides */
};

/* Seconds before a member may speak again: who floods the room is slowed, or
 * those who do read would be dropped. The others go on meanwhile. */
#define PAUSE 0.001

struct line { /* copied into each channel: nobody owns it */
    char text[NICK_MAX + LINE_MAX_BYTES + 32];
};

struct member {
    char nick[NICK_MAX];
    krait_sock *sock;
    krait_chan *lines; /* to be written to it */
    int dropped;
    struct member *next;
};

static krait_sock *listener;
static krait_mutex lock; /* of the list, and who is dropped */
static struct member *members;

static void stop(int sig)
{
    (void)sig;
    krait_interrupt(listener);
}

/* To all but `from`. With timeout 0 krait_chan_send does not wait; and the
 * sockets are open while the lock is held, since who leaves needs it. */
static void say(const struct member *from, const char *verb, const char *what)
{
    struct line line;

    snprintf(line.text, sizeof line.text, "%s%s%s\n", from->nick, verb, what);
    if (krait_mutex_lock(&lock, KRAIT_FOREVER) < 0)
        return; /* the room is closing */
    for (struct member *m = members; m; m = m->next)
        if (m != from && !m->dropped &&
            krait_chan_send(m->lines, &line, 0) < 0 && errno == EAGAIN) {
            m->dropped = 1;
            krait_interrupt(m->sock); /* ends both of its fibers */
        }
    krait_mutex_unlock(&lock);
}

static void announce(const struct member *m, const char *what)
{
    say(m, what, "");
    printf("%s%s\n", m->nick, what);
}

/* A line from a stranger, without its end and what a terminal would obey.
 * fgets parks the fiber, not its thread: `in` is made by krait_makefile. */
static char *hear(char *buf, int size, FILE *in)
{
    if (!fgets(buf, size, in))
        return NULL;
    buf[strcspn(buf, "\r\n")] = '\0';
    for (char *c = buf; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return buf;
}

/* The fiber that writes to one member. */
static int write_lines(void *arg)
{
    struct member *m = arg;
    struct line line;

    while (krait_chan_recv(m->lines, &line, KRAIT_FOREVER) == 1)
        if (krait_sendstr(m->sock, line.text) < 0) {
            krait_interrupt(m->sock); /* it has gone: no use to listen to it */
            return -1;
        }
    return 0;
}

static int enter(struct member *m)
{
    if (krait_mutex_lock(&lock, KRAIT_FOREVER) < 0)
        return -1;
    m->next = members;
    members = m;
    return krait_mutex_unlock(&lock);
}

/* Not to be cancelled: a member that has gone must not stay on the list. */
static void leave(struct member *m)
{
    struct member **at = &members;

    krait_mutex_lock(&lock, KRAIT_FOREVER);
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    krait_mutex_unlock(&lock);
}

static void take_part(struct member *m, FILE *in)
{
    char line[LINE_MAX_BYTES];

    if (!hear(m->nick, sizeof m->nick, in) || enter(m) < 0)
        return;
    announce(m, " has joined");
    while (hear(line, sizeof line, in)) {
        say(m, ": ", line);
        krait_sleep(PAUSE);
    }

    krait_setcancelstate(KRAIT_CANCEL_DISABLE);
    leave(m);
    krait_setcancelstate(KRAIT_CANCEL_ENABLE);
    announce(m, m->dropped ? " was dropped: it does not read" : " has left");
}

/* The fiber that reads what one member says. */
static int chat(void *arg)
{
    struct member m = {.sock = arg};
    FILE *in = krait_makefile(m.sock, "r");
    krait_fiber *writer = NULL;

    m.lines = krait_chan_new(sizeof(struct line), BEHIND);
    if (m.lines)
        writer = krait_spawn(write_lines, &m, NULL);
    if (in && writer)
        take_part(&m, in);
    else
        krait_perror("chat_room"); /* ENOMEM */

    krait_setcancelstate(KRAIT_CANCEL_DISABLE); /* the writer uses `m` */
    if (writer) {
        krait_interrupt(m.sock);
        krait_chan_close(m.lines);
        krait_join(writer, NULL);
    }
    krait_chan_free(m.lines);
    if (in)
        fclose(in);
    return krait_close(m.sock);
}

/* The first fiber. When it returns, krait_run cancels the members' fibers. */
static int let_in(void *unused)
{
    krait_sock *s;
    krait_fiber *f;

    (void)unused;
    for (;;) {
        s = krait_accept(listener, NULL);
        if (!s && krait_errno() == ECANCELED) /* stop() */
            return 0;
        if (s && krait_setsockopt(s, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER) == 0 &&
            (f = krait_spawn(chat, s, NULL))) {
            krait_release(f);
            continue;
        }
        krait_perror("chat_room"); /* EMFILE, say: it passes */
        krait_close(s);
        krait_sleep(0.1);
    }
}

int main(int argc, char **argv)
{
    krait_addr addr =
        argc > 1 ? krait_addr_parse(argv[1]) : krait_inet("127.0.0.1", 8001);
    char name[KRAIT_ADDR_TEXT_MAX];
    int rc;

    setvbuf(stdout, NULL, _IONBF, 0); /* what is printed appears at once */

    listener = krait_socket(AF_INET, SOCK_STREAM, 0);
    if (!listener ||
        krait_setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        krait_bind(listener, addr) < 0 ||
        krait_listen(listener, KRAIT_BACKLOG) < 0) {
        krait_perror("chat_room");
        krait_close(listener);
        return 1;
    }
    /* For one signal only: a second Ctrl-C ends the program at once. */
    sigaction(
        SIGINT,
        &(struct sigaction){.sa_handler = stop, .sa_flags = (int)SA_RESETHAND},
        NULL);
    addr = krait_getsockname(listener);
    printf("The room is at %s\n", krait_addr_text(addr, name, sizeof name));

    rc = krait_run(let_in, NULL, NULL);
    if (rc < 0)
        krait_perror("chat_room"); /* no run-time could be had */
    krait_close(listener);
    return rc != 0;
}
