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
    assert_int_equal(have, 0);
    assert_memory_equal(got, "abcdef", 6);
}

static void test_exactly_begins_anew_after_each(void **state)
{
    size_t have = 0;
    char got[2];
    int records = 0, rc;
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "010203"));
    assert_works(krait_shutdown(pair[0], SHUT_WR));
    while ((rc = krait_recv_exactly(pair[1], got, 2, &have)) > 0)
        assert_int_equal(got[1], '1' + records++);
    assert_int_equal(rc, 0);
    assert_int_equal(records, 3);
}

static void test_nothing_waits_that_must_not(void **state)
{
    size_t have = 0;
    char got[8];
    krait_piece piece = {.buf = got, .size = sizeof got};
    krait_piece frame = piece;
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[1], 0));
    assert_works(krait_sendstr(pair[0], "ab"));
    assert_fails(krait_recv_exactly(pair[1], got, 4, &have), EAGAIN);
    assert_int_equal(have, 2);
    assert_works(krait_sendstr(pair[0], "cd"));
    assert_int_equal(krait_recv_exactly(pair[1], got, 4, &have), 1);
    assert_memory_equal(got, "abcd", 4);
    assert_works(krait_sendstr(pair[0], "ef"));
    assert_fails(krait_recv_until(pair[1], &piece, "\n", 1), EAGAIN);
    assert_works(krait_sendstr(pair[0], "\n"));
    assert_int_equal(krait_recv_until(pair[1], &piece, "\n", 1), 1);
    assert_memory_equal(got, "ef\n", 3);
    assert_works(krait_sendall(pair[0], "\0\0\0\2h", 5, 0));
    assert_fails(krait_recv_frame(pair[1], &frame), EAGAIN);
    assert_works(krait_sendstr(pair[0], "i"));
    assert_int_equal(krait_recv_frame(pair[1], &frame), 1);
    assert_memory_equal(got, "hi", 2);
}

static void test_a_reset_in_the_middle_is_said(void **state)
{
    struct linger hard = {.l_onoff = 1};
    size_t have = 0;
    char got[8];
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "abc"));
    assert_times_out(pair[1], krait_recv_exactly(pair[1], got, 8, &have));
    assert_works(krait_setsockopt_buf(pair[0], SOL_SOCKET, SO_LINGER, &hard,
                                      sizeof hard));
    shut(pair[0]);
    assert_fails(krait_recv_exactly(pair[1], got, 8, &have), ECONNRESET);
    assert_int_equal(have, 3);
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
    char got[64];
    krait_piece piece = {.buf = got, .size = sizeof got};

    assert_int_equal(krait_recv_until(s, &piece, delimiter, strlen(delimiter)),
                     1);
    assert_int_equal(piece.len, strlen(wanted));
    assert_memory_equal(got, wanted, piece.len);
}

static void test_until_takes_piece_by_piece(void **state)
{
    krait_sock *pair[2];
    char rest[4], line[8];
    krait_piece piece = {.buf = line, .size = sizeof line};

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "GET /\r\n\r\none\ntwo\n\nrest"));
    expect_piece(pair[1], "\r\n\r\n", "GET /\r\n\r\n");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(krait_recv_until(pair[1], &piece, "\n", 1), 1);
        assert_int_equal(piece.len, i < 2 ? 4 : 1);
        assert_memory_equal(line, i ? i > 1 ? "\n" : "two\n" : "one\n",
                            piece.len);
    }
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
        size_t dlen = strlen(cases[i].delimiter);
        char got[64];
        krait_piece piece = {.buf = got, .size = sizeof got};
        krait_sock *pair[2];

        connect_pair(transport_of(state), pair);
        assert_works(krait_sendstr(pair[0], cases[i].first));
        assert_times_out(pair[1], krait_recv_until(pair[1], &piece,
                                                   cases[i].delimiter, dlen));
        assert_int_equal(piece.len, strlen(cases[i].first));
        assert_works(krait_sendstr(pair[0], cases[i].second));
        assert_int_equal(
            krait_recv_until(pair[1], &piece, cases[i].delimiter, dlen), 1);
        assert_int_equal(piece.len, strlen(cases[i].piece));
        assert_memory_equal(got, cases[i].piece, piece.len);
        assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 4);
        assert_memory_equal(got, "more", 4);
    }
}

static void test_until_finds_what_is_far_away(void **state)
{
    enum { FAR = 5000 }; /* farther than one look sees */
    unsigned char *data = (unsigned char *)own_block(FAR + 6);
    krait_piece piece = {.buf = own_block(FAR + 6), .size = FAR + 6};
    krait_sock *pair[2];

    memset(data, 'x', FAR + 6);
    memcpy(data + FAR - 2, "\r\n", 2);
    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], data, FAR + 4, 0));
    assert_int_equal(krait_recv_until(pair[1], &piece, "\r\n", 2), 1);
    assert_int_equal(piece.len, FAR);
    assert_memory_equal(piece.buf, data, FAR);
    assert_int_equal(krait_recv(pair[1], data, FAR, 0), 4);
}

static void test_until_is_bounded(void **state)
{
    char got[11];
    krait_piece piece = {.buf = got, .size = 5};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "01234567\r\n8\r\n"));
    assert_fails(krait_recv_until(pair[1], &piece, "\r\n", 2), EMSGSIZE);
    assert_int_equal(piece.len, 5);
    assert_memory_equal(got, "01234", 5);
    assert_fails(krait_recv_until(pair[1], &piece, "\r\n", 2), EMSGSIZE);
    /* With the delimiter across the old limit. */
    piece.size = 9;
    assert_fails(krait_recv_until(pair[1], &piece, "\r\n", 2), EMSGSIZE);
    piece.size = 10;
    assert_int_equal(krait_recv_until(pair[1], &piece, "\r\n", 2), 1);
    assert_int_equal(piece.len, 10);
    assert_memory_equal(got, "01234567\r\n", 10);
    /* What is behind it is still there; to the last byte of the buffer. */
    piece.size = 3;
    assert_int_equal(krait_recv_until(pair[1], &piece, "\r\n", 2), 1);
    assert_memory_equal(got, "8\r\n", 3);
    piece.size = 1;
    assert_works(krait_sendstr(pair[0], "ab"));
    assert_fails(krait_recv_until(pair[1], &piece, "\r\n", 2), EMSGSIZE);
}

static void test_until_tells_the_end_from_a_part(void **state)
{
    char got[16];
    krait_piece piece = {.buf = got, .size = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[0], "all\npart"));
    assert_works(krait_shutdown(pair[0], SHUT_WR));
    expect_piece(pair[1], "\n", "all\n");
    assert_fails(krait_recv_until(pair[1], &piece, "\n", 1), ENODATA);
    assert_int_equal(piece.len, 4);
    assert_memory_equal(got, "part", 4);
    piece = (krait_piece){.buf = got, .size = sizeof got};
    assert_int_equal(krait_recv_until(pair[1], &piece, "\n", 1), 0);
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
    krait_piece frame = {.buf = own_block(LARGE), .size = LARGE};
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
    krait_piece frame = {.buf = got, .size = sizeof got};
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
    krait_piece frame = {.buf = got, .size = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "\xff\xff\xff\xff....", 8, 0));
    assert_fails(krait_recv_frame(pair[1], &frame), EMSGSIZE);
    assert_true(frame.len == UINT32_MAX);
    assert_fails(krait_recv_frame(pair[1], &frame), EMSGSIZE);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 4);
    /* Or it is let in after all. */
    assert_works(krait_send_frame(pair[0], "twelve bytes", 12));
    frame = (krait_piece){.buf = got, .size = sizeof got};
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
        krait_piece frame = {.buf = got, .size = sizeof got};
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
    char got[4];
    krait_piece piece = {.buf = got, .size = sizeof got};

    connect_pair(transport_of(state), pair);
    assert_fails(krait_recv_exactly(pair[0], got, 4, NULL), EOPNOTSUPP);
    assert_fails(krait_recv_until(pair[0], &piece, "\n", 1), EOPNOTSUPP);
    assert_fails(krait_recv_frame(pair[0], &piece), EOPNOTSUPP);
    assert_fails(krait_send_frame(pair[0], "x", 1), EOPNOTSUPP);
    assert_contains(krait_errmsg(), "streams");
}

static void test_what_is_missing_is_refused(void **state)
{
    krait_sock *pair[2];
    size_t have = 5;
    char got[4];
    krait_piece piece = {.buf = got, .size = sizeof got}, none = {.size = 1};

    (void)state;
    any_pair(pair);
    assert_fails(krait_recv_exactly(NULL, got, 4, NULL), EBADF);
    assert_fails(krait_recv_exactly(pair[0], NULL, 4, NULL), EINVAL);
    assert_fails(krait_recv_exactly(pair[0], got, 4, &have), EINVAL);
    assert_fails(krait_recv_until(NULL, &piece, "\n", 1), EBADF);
    assert_fails(krait_recv_until(pair[0], NULL, "\n", 1), EINVAL);
    assert_fails(krait_recv_until(pair[0], &none, "\n", 1), EINVAL);
    assert_fails(krait_recv_until(pair[0], &piece, NULL, 1), EINVAL);
    assert_fails(krait_recv_until(pair[0], &piece, "\n", 0), EINVAL);
    assert_fails(krait_recv_frame(NULL, &piece), EBADF);
    assert_fails(krait_recv_frame(pair[0], &none), EINVAL);
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
        {TEST(test_exactly_begins_anew_after_each), STREAMS},
        {TEST(test_exactly_is_interrupted), STREAMS},
        {TEST(test_nothing_waits_that_must_not), STREAMS},
        {TEST(test_a_reset_in_the_middle_is_said), INET_STREAM | INET6_STREAM},
        {TEST(test_until_takes_piece_by_piece), STREAMS},
        {TEST(test_until_finds_a_delimiter_that_comes_in_parts), STREAMS},
        {TEST(test_until_finds_what_is_far_away), STREAMS},
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
