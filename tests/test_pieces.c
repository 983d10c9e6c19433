/* SPDX-License-Identifier: MIT
 *
 * test_pieces.c - krait/stream.h: so many bytes, bytes up to a delimiter,
 * frames; over every stream, however the bytes come.
 *
 * ctest: flows
 */
#include "support.h"

#define assert_times_out(s, call) \
    do { \
        assert_works(krait_settimeout((s), 0.02)); \
        assert_fails(call, ETIMEDOUT); \
        assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT); \
        assert_works(krait_settimeout((s), PATIENCE)); \
    } while (0)

/* --- so many bytes ------------------------------------------------------ */

static void do_recv_exactly(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    call_ended(c, krait_recv_exactly(c->sock, c->buf, c->len, NULL), since);
}

static void test_exactly_waits_for_all_and_takes_no_more(void **state)
{
    char got[6] = {0};
    struct call call = {.buf = got, .len = 5};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    call.sock = pair[1];
    call_and_block(&call, do_recv_exactly);
    assert_works(krait_sendstr(pair[0], "he"));
    wait_until_blocked(call.task);
    assert_works(krait_sendstr(pair[0], "llo, you"));
    join(call.task);
    assert_int_equal(call.rc, 1);
    assert_string_equal(got, "hello");
    assert_int_equal(krait_recv(pair[1], got, 5, 0), 5);
    assert_memory_equal(got, ", you", 5);
}

static void test_exactly_tells_the_end_from_a_part(void **state)
{
    size_t have = 0;
    char got[8];
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "abc"));
    assert_works(krait_shutdown(pair[0], SHUT_WR));
    assert_fails(krait_recv_exactly(pair[1], got, 8, &have), ENODATA);
    assert_contains(krait_errmsg(), "recv_exactly");
    assert_contains(krait_errmsg(), "in the middle");
    assert_int_equal(have, 3);
    assert_memory_equal(got, "abc", 3);
    have = 0;
    assert_int_equal(krait_recv_exactly(pair[1], got, 8, &have), 0);
    assert_int_equal(krait_recv_exactly(pair[1], got, 8, NULL), 0);
    assert_int_equal(krait_recv_exactly(pair[1], NULL, 0, NULL), 1);
}

static void test_exactly_goes_on_after_a_timeout(void **state)
{
    size_t have = 0;
    char got[6];
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "ab"));
    assert_times_out(pair[1], krait_recv_exactly(pair[1], got, 6, &have));
    assert_int_equal(have, 2);
    assert_works(krait_sendstr(pair[0], "cdefg"));
    assert_int_equal(krait_recv_exactly(pair[1], got, 6, &have), 1);
    assert_int_equal(have, 6);
    assert_memory_equal(got, "abcdef", 6);
}

static void test_exactly_is_interrupted(void **state)
{
    char got[5];
    struct call call = {.buf = got, .len = 5};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    call.sock = pair[1];
    assert_works(krait_sendstr(pair[0], "ab"));
    call_and_block(&call, do_recv_exactly);
    assert_works(krait_interrupt(pair[1]));
    join(call.task);
    assert_int_equal(call.rc, -1);
    assert_int_equal(call.err, ECANCELED);
}

/* --- up to a delimiter -------------------------------------------------- */

static void expect_piece(krait_sock *s, const char *delimiter,
                         const char *wanted)
{
    size_t have = 0;
    char got[64];

    assert_int_equal(krait_recv_until(s, got, sizeof got, delimiter,
                                      strlen(delimiter), &have),
                     1);
    assert_int_equal(have, strlen(wanted));
    assert_memory_equal(got, wanted, have);
}

static void test_until_takes_piece_by_piece(void **state)
{
    krait_sock *pair[2];
    char rest[4];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "GET /\r\n\r\none\ntwo\n\nrest"));
    expect_piece(pair[1], "\r\n\r\n", "GET /\r\n\r\n");
    expect_piece(pair[1], "\n", "one\n");
    expect_piece(pair[1], "\n", "two\n");
    expect_piece(pair[1], "\n", "\n");
    assert_int_equal(krait_recv(pair[1], rest, 4, 0), 4);
    assert_memory_equal(rest, "rest", 4);
}

static void test_until_finds_a_delimiter_that_comes_in_parts(void **state)
{
    /* The second has a false start: its delimiter begins at the second a. */
    static const struct {
        const char *first, *second, *delimiter, *piece;
    } cases[] = {
        {"line\r", "\nmore", "\r\n", "line\r\n"},
        {"xaa", "abmore", "aab", "xaaab"},
        {"", "-more", "-", "-"},
        {"1\r\n\r", "x\r\n\r\nmore", "\r\n\r\n", "1\r\n\rx\r\n\r\n"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t have = 0, dlen = strlen(cases[i].delimiter);
        char got[64];
        krait_sock *pair[2];

        connect_pair(transport_of(state), pair);
        assert_works(krait_sendstr(pair[0], cases[i].first));
        assert_times_out(pair[1],
                         krait_recv_until(pair[1], got, sizeof got,
                                          cases[i].delimiter, dlen, &have));
        assert_int_equal(have, strlen(cases[i].first));
        assert_works(krait_sendstr(pair[0], cases[i].second));
        assert_int_equal(krait_recv_until(pair[1], got, sizeof got,
                                          cases[i].delimiter, dlen, &have),
                         1);
        assert_int_equal(have, strlen(cases[i].piece));
        assert_memory_equal(got, cases[i].piece, have);
        assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 4);
        assert_memory_equal(got, "more", 4);
    }
}

static void test_until_is_bounded(void **state)
{
    size_t have = 0;
    char got[5];
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "0123456789\n"));
    assert_fails(krait_recv_until(pair[1], got, 5, "\n", 1, &have), EMSGSIZE);
    assert_int_equal(have, 5);
    assert_memory_equal(got, "01234", 5);
    assert_fails(krait_recv_until(pair[1], got, 5, "\n", 1, &have), EMSGSIZE);
    /* What is behind them is still there. */
    expect_piece(pair[1], "\n", "56789\n");
    /* To the last byte. */
    assert_works(krait_sendstr(pair[0], "abcd\n"));
    have = 0;
    assert_int_equal(krait_recv_until(pair[1], got, 5, "\n", 1, &have), 1);
    assert_int_equal(have, 5);
}

static void test_until_tells_the_end_from_a_part(void **state)
{
    size_t have = 0;
    char got[16];
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "all\npart"));
    assert_works(krait_shutdown(pair[0], SHUT_WR));
    expect_piece(pair[1], "\n", "all\n");
    assert_fails(krait_recv_until(pair[1], got, sizeof got, "\n", 1, &have),
                 ENODATA);
    assert_int_equal(have, 4);
    assert_memory_equal(got, "part", 4);
    have = 0;
    assert_int_equal(krait_recv_until(pair[1], got, sizeof got, "\n", 1, &have),
                     0);
}

/* --- frames ------------------------------------------------------------- */

#define LARGE ((size_t)3 << 20)

struct frames {
    krait_sock *sock;
    const unsigned char *data;
};

static const size_t lengths[] = {0, 1, 5, 1023, 1024, 1025, 70000, LARGE, 0};

static void send_frames(void *arg)
{
    struct frames *f = (struct frames *)arg;

    for (size_t i = 0; i < COUNT(lengths); i++)
        if (krait_send_frame(f->sock, f->data, lengths[i]) < 0)
            return;
    krait_shutdown(f->sock, SHUT_WR);
}

static void test_frames_come_as_they_were_sent(void **state)
{
    struct frames sender = {.data = patterned(LARGE)};
    krait_frame frame = {.buf = own_block(LARGE), .size = LARGE};
    struct task *task;
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    sender.sock = pair[0];
    task = start(send_frames, &sender);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        assert_int_equal(krait_recv_frame(pair[1], &frame), 1);
        assert_int_equal(frame.len, lengths[i]);
        assert_memory_equal(frame.buf, sender.data, frame.len);
    }
    assert_int_equal(krait_recv_frame(pair[1], &frame), 0);
    join(task);
}

static void test_a_frame_goes_on_after_a_timeout(void **state)
{
    static const char wire[] = "\0\0\0\5hello\0\0\0\0";
    char got[8];
    krait_frame frame = {.buf = got, .size = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    for (size_t i = 0; i < 8; i++) {
        assert_works(krait_sendall(pair[0], &wire[i], 1, 0));
        assert_times_out(pair[1], krait_recv_frame(pair[1], &frame));
    }
    assert_works(krait_sendall(pair[0], &wire[8], 5, 0));
    assert_int_equal(krait_recv_frame(pair[1], &frame), 1);
    assert_int_equal(frame.len, 5);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(krait_recv_frame(pair[1], &frame), 1);
    assert_int_equal(frame.len, 0);
}

static void test_a_claimed_length_takes_no_memory(void **state)
{
    char got[8] = {0}, larger[16];
    krait_frame frame = {.buf = got, .size = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "\xff\xff\xff\xff....", 8, 0));
    assert_fails(krait_recv_frame(pair[1], &frame), EMSGSIZE);
    assert_true(frame.len == UINT32_MAX);
    assert_fails(krait_recv_frame(pair[1], &frame), EMSGSIZE);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 4);
    /* Or it is let in after all. */
    assert_works(krait_send_frame(pair[0], "twelve bytes", 12));
    frame = (krait_frame){.buf = got, .size = sizeof got};
    assert_fails(krait_recv_frame(pair[1], &frame), EMSGSIZE);
    assert_int_equal(frame.len, 12);
    frame.buf = larger;
    frame.size = sizeof larger;
    assert_int_equal(krait_recv_frame(pair[1], &frame), 1);
    assert_memory_equal(larger, "twelve bytes", 12);
}

static void test_a_frame_that_is_cut_off_is_no_end(void **state)
{
    /* In its length, behind it, and in the bytes. */
    for (size_t sent = 1; sent < 9; sent++) {
        char got[8];
        krait_frame frame = {.buf = got, .size = sizeof got};
        krait_sock *pair[2];

        connect_pair(transport_of(state), pair);
        assert_works(krait_sendall(pair[0], "\0\0\0\5hello", sent, 0));
        assert_works(krait_shutdown(pair[0], SHUT_WR));
        assert_fails(krait_recv_frame(pair[1], &frame), ENODATA);
    }
}

/* --- what can't be ------------------------------------------------------ */

static void test_what_is_no_stream_is_refused(void **state)
{
    krait_sock *pair[2];
    size_t have = 0;
    char got[4];
    krait_frame frame = {.buf = got, .size = sizeof got};

    connect_pair(transport_of(state), pair);
    assert_fails(krait_recv_exactly(pair[0], got, 4, NULL), EOPNOTSUPP);
    assert_fails(krait_recv_until(pair[0], got, 4, "\n", 1, &have), EOPNOTSUPP);
    assert_fails(krait_recv_frame(pair[0], &frame), EOPNOTSUPP);
    assert_fails(krait_send_frame(pair[0], "x", 1), EOPNOTSUPP);
    assert_contains(krait_errmsg(), "streams");
}

static void test_what_is_missing_is_refused(void **state)
{
    krait_sock *pair[2];
    size_t have = 5;
    char got[4];
    krait_frame frame = {.size = 1};

    (void)state;
    any_pair(pair);
    assert_fails(krait_recv_exactly(NULL, got, 4, NULL), EBADF);
    assert_fails(krait_recv_exactly(pair[0], NULL, 4, NULL), EINVAL);
    assert_fails(krait_recv_exactly(pair[0], got, 4, &have), EINVAL);
    assert_fails(krait_recv_until(pair[0], got, 4, "\n", 1, &have), EINVAL);
    have = 0;
    assert_fails(krait_recv_until(NULL, got, 4, "\n", 1, &have), EBADF);
    assert_fails(krait_recv_until(pair[0], NULL, 4, "\n", 1, &have), EINVAL);
    assert_fails(krait_recv_until(pair[0], got, 4, NULL, 1, &have), EINVAL);
    assert_fails(krait_recv_until(pair[0], got, 4, "\n", 0, &have), EINVAL);
    assert_fails(krait_recv_until(pair[0], got, 4, "\n", 1, NULL), EINVAL);
    assert_fails(krait_recv_frame(NULL, &frame), EBADF);
    assert_fails(krait_recv_frame(pair[0], &frame), EINVAL);
    assert_fails(krait_recv_frame(pair[0], NULL), EINVAL);
    assert_fails(krait_send_frame(NULL, "x", 1), EBADF);
    assert_fails(krait_send_frame(pair[0], NULL, 1), EINVAL);
    if (sizeof(size_t) > 4)
        assert_fails(krait_send_frame(pair[0], got, (size_t)1 << 32), EMSGSIZE);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_exactly_waits_for_all_and_takes_no_more), STREAMS},
        {TEST(test_exactly_tells_the_end_from_a_part), STREAMS},
        {TEST(test_exactly_goes_on_after_a_timeout), STREAMS},
        {TEST(test_exactly_is_interrupted), STREAMS},
        {TEST(test_until_takes_piece_by_piece), STREAMS},
        {TEST(test_until_finds_a_delimiter_that_comes_in_parts), STREAMS},
        {TEST(test_until_is_bounded), STREAMS},
        {TEST(test_until_tells_the_end_from_a_part), STREAMS},
        {TEST(test_frames_come_as_they_were_sent), STREAMS},
        {TEST(test_a_frame_goes_on_after_a_timeout), STREAMS},
        {TEST(test_a_claimed_length_takes_no_memory), STREAMS},
        {TEST(test_a_frame_that_is_cut_off_is_no_end), STREAMS},
        {TEST(test_what_is_no_stream_is_refused), DGRAMS | SEQPACKETS},
        {TEST(test_what_is_missing_is_refused), ONCE},
    };

    return run_all(argc, argv, "pieces", tests, COUNT(tests));
}
