/* SPDX-License-Identifier: MIT
 *
 * test_makefile.c - stdio over a socket: krait_makefile.
 *
 * ctest: flows
 */
#include "support.h"

/* A FILE of the test's own: fclose()d by the test, before its socket. */
static FILE *file_of(krait_sock *s, const char *mode)
{
    FILE *f = krait_makefile(s, mode);

    if (!f)
        fail_msg("makefile \"%s\": %s", mode, krait_errmsg());
    return f;
}

static void test_lines_are_read_and_written(void **state)
{
    krait_sock *pair[2];
    FILE *in, *out;
    char *line = NULL;
    size_t room = 0;

    connect_pair(transport_of(state), pair);
    in = file_of(pair[0], "r");
    out = file_of(pair[1], "w");
    assert_int_equal(fprintf(out, "one\ntwo %d\nrest", 2), 14);
    assert_int_equal(fclose(out), 0);
    shut(pair[1]);
    assert_int_equal(getline(&line, &room, in), 4);
    assert_string_equal(line, "one\n");
    assert_int_equal(getline(&line, &room, in), 6);
    assert_string_equal(line, "two 2\n");
    assert_int_equal(getline(&line, &room, in), 4);
    assert_string_equal(line, "rest");
    assert_int_equal(getline(&line, &room, in), -1);
    assert_true(feof(in));
    assert_false(ferror(in));
    free(line);
    assert_int_equal(fclose(in), 0);
}

static void test_a_line_longer_than_any_buffer_is_read(void **state)
{
    size_t len = (size_t)1 << 20, room = 0;
    unsigned char *data = own_block(len);
    struct call call = {.buf = data, .len = len};
    krait_sock *pair[2];
    char *line = NULL;
    FILE *in;

    memset(data, 'x', len);
    data[len - 1] = '\n';
    connect_pair(transport_of(state), pair);
    call.sock = pair[1];
    call.task = start(do_sendall, &call);
    in = file_of(pair[0], "rb");
    assert_int_equal(getline(&line, &room, in), len);
    free(line);
    fclose(in);
    join(call.task);
    assert_int_equal(call.rc, 0);
}

static void test_more_than_a_buffer_is_written(void **state)
{
    size_t len = (size_t)1 << 20;
    unsigned char *data = patterned(len), *got = own_block(len);
    struct call call = {.buf = got, .len = len, .flags = MSG_WAITALL};
    krait_sock *pair[2];
    FILE *out;

    connect_pair(transport_of(state), pair);
    call.sock = pair[1];
    call.task = start(do_recv, &call);
    out = file_of(pair[0], "wb");
    assert_int_equal(fwrite(data, 1, len, out), len);
    assert_int_equal(fflush(out), 0);
    join(call.task);
    assert_int_equal(call.rc, len);
    assert_memory_equal(got, data, len);
    fclose(out);
}

static void test_other_modes_are_refused(void **state)
{
    static const char *const bad[] = {"",   "r+", "w+", "rw",  "a",   "x", "R",
                                      "rx", "wr", "b",  "r+b", "rbb", "rt"};
    krait_sock *pair[2];
    size_t i;

    (void)state;
    any_pair(pair);
    for (i = 0; i < COUNT(bad); i++)
        assert_null_with(krait_makefile(pair[0], bad[i]), EINVAL);
    assert_null_with(krait_makefile(pair[0], NULL), EINVAL);
}

static void test_getline_times_out_in_the_middle_of_a_line(void **state)
{
    krait_sock *pair[2];
    char *line = NULL, whole[64] = {0};
    size_t room = 0;
    ssize_t n;
    FILE *in;

    connect_pair(transport_of(state), pair);
    in = file_of(pair[0], "r");
    assert_works(krait_settimeout(pair[0], 0.05));
    assert_works(krait_sendstr(pair[1], "half a "));
    n = getline(&line, &room, in);
    assert_true(ferror(in));
    assert_false(feof(in));
    assert_int_equal(errno, ETIMEDOUT);
    /* glibc hands out what came, musl may keep it: none of it is lost. */
    if (n > 0)
        strncat(whole, line, (size_t)n);

    clearerr(in);
    assert_works(krait_settimeout(pair[0], PATIENCE));
    assert_works(krait_sendstr(pair[1], "line\nnext\n"));
    assert_true(getline(&line, &room, in) > 0);
    strcat(whole, line);
    assert_string_equal(whole, "half a line\n");
    assert_int_equal(getline(&line, &room, in), 5);
    assert_string_equal(line, "next\n");
    free(line);
    fclose(in);
}

static void test_a_timed_out_read_says_so_until_clearerr(void **state)
{
    krait_sock *pair[2];
    FILE *in;

    (void)state;
    any_pair(pair);
    in = file_of(pair[0], "r");
    assert_works(krait_settimeout(pair[0], 0.02));
    assert_int_equal(fgetc(in), EOF);
    assert_true(ferror(in));
    assert_int_equal(krait_errno(), ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    clearerr(in);
    assert_works(krait_sendstr(pair[1], "x"));
    assert_int_equal(fgetc(in), 'x');
    fclose(in);
}

static void test_a_file_that_must_not_wait_says_eagain(void **state)
{
    krait_sock *pair[2];
    FILE *in;

    (void)state;
    any_pair(pair);
    in = file_of(pair[0], "r");
    assert_works(krait_setblocking(pair[0], 0));
    errno = 0;
    assert_int_equal(fgetc(in), EOF);
    assert_true(ferror(in));
    assert_int_equal(errno, EAGAIN);
    fclose(in);
}

static void test_the_file_outlives_the_socket(void **state)
{
    krait_sock *pair[2];
    char line[16];
    FILE *in, *out;
    int fd;

    connect_pair(transport_of(state), pair);
    in = file_of(pair[0], "r");
    out = file_of(pair[0], "w");
    fd = krait_fileno(pair[0]);
    shut(pair[0]); /* as in Python: closed for good with the last file */
    assert_true(fcntl(fd, F_GETFD) >= 0);
    assert_works(krait_sendstr(pair[1], "still\n"));
    assert_non_null(fgets(line, sizeof line, in));
    assert_string_equal(line, "still\n");
    assert_true(fputs("here\n", out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(krait_recv(pair[1], line, sizeof line, 0), 5);
    assert_int_equal(fclose(in), 0);
    assert_int_equal(krait_recv(pair[1], line, sizeof line, 0), 0);
}

static void test_the_socket_outlives_the_file(void **state)
{
    krait_sock *pair[2];
    FILE *in, *out;
    char byte;

    connect_pair(transport_of(state), pair);
    in = file_of(pair[0], "r");
    out = file_of(pair[0], "w");
    assert_int_equal(fclose(in), 0);
    assert_int_equal(fclose(out), 0);
    assert_works(krait_sendstr(pair[0], "x"));
    assert_int_equal(krait_recv(pair[1], &byte, 1, 0), 1);
}

static void test_two_files_on_one_socket_take_turns(void **state)
{
    krait_sock *pair[2];
    FILE *in[2], *out[2];
    char line[32];
    int i, side;

    connect_pair(transport_of(state), pair);
    for (side = 0; side < 2; side++) {
        in[side] = file_of(pair[side], "r");
        out[side] = file_of(pair[side], "w");
    }
    for (i = 0; i < 100; i++) {
        side = i % 2;
        fprintf(out[side], "line %d\n", i);
        assert_int_equal(fflush(out[side]), 0);
        assert_non_null(fgets(line, sizeof line, in[!side]));
        assert_int_equal(atoi(line + 5), i);
    }
    for (side = 0; side < 2; side++) {
        fclose(in[side]);
        fclose(out[side]);
    }
}

static void test_writing_to_a_peer_that_left_fails(void **state)
{
    krait_sock *pair[2];
    FILE *out;

    (void)state;
    any_pair(pair);
    shut(pair[1]);
    out = file_of(pair[0], "w");
    assert_true(fputs("x", out) >= 0); /* buffered */
    assert_int_equal(fflush(out), EOF);
    assert_int_equal(errno, EPIPE);
    assert_true(ferror(out));
    fclose(out);
}

static void test_a_write_times_out_when_nobody_reads(void **state)
{
    size_t len = (size_t)8 << 20;
    unsigned char *data = own_block(len);
    krait_sock *pair[2];
    FILE *out;

    (void)state;
    any_pair(pair);
    assert_works(krait_settimeout(pair[0], 0.05));
    out = file_of(pair[0], "w");
    assert_true(fwrite(data, 1, len, out) < len);
    assert_true(ferror(out));
    assert_int_equal(errno, ETIMEDOUT);
    fclose(out);
}

static void test_a_reset_shows_as_an_error_and_not_as_an_end(void **state)
{
    krait_sock *pair[2];
    FILE *in;

    connect_pair(transport_of(state), pair);
    in = file_of(pair[0], "r");
    assert_works(krait_sendstr(pair[1], "a"));
    reset_on_close(pair[1]);
    shut(pair[1]);
    assert_int_equal(fgetc(in), 'a');
    assert_int_equal(fgetc(in), EOF);
    assert_true(ferror(in));
    assert_false(feof(in));
    assert_int_equal(errno, ECONNRESET);
    fclose(in);
}

struct line_reader {
    FILE *in;
    int c, err;
};

static void read_a_byte(void *arg)
{
    struct line_reader *r = (struct line_reader *)arg;

    r->c = fgetc(r->in);
    r->err = errno;
}

static void test_an_interrupt_wakes_who_reads_a_file(void **state)
{
    struct line_reader reader = {0};
    krait_sock *pair[2];
    struct task *task;

    connect_pair(transport_of(state), pair);
    reader.in = file_of(pair[0], "r");
    task = start(read_a_byte, &reader);
    wait_until_blocked(task);
    assert_works(krait_interrupt(pair[0]));
    join(task);
    assert_int_equal(reader.c, EOF);
    assert_int_equal(reader.err, ECANCELED);
    fclose(reader.in);
}

static void test_files_fail_after_detach(void **state)
{
    krait_sock *pair[2];
    FILE *in;

    (void)state;
    any_pair(pair);
    in = file_of(pair[0], "r");
    own_fd(krait_detach(disown(pair[0])));
    errno = 0;
    assert_int_equal(fgetc(in), EOF);
    assert_true(ferror(in));
    assert_int_equal(errno, EBADF);
    fclose(in);
}

static void test_seeking_is_no_way_to_move_in_a_socket(void **state)
{
    krait_sock *pair[2];
    FILE *in;

    (void)state;
    any_pair(pair);
    in = file_of(pair[0], "r");
    assert_int_equal(fseek(in, 0, SEEK_SET), -1);
    fclose(in);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_lines_are_read_and_written), STREAMS},
        {TEST(test_a_line_longer_than_any_buffer_is_read), STREAMS},
        {TEST(test_more_than_a_buffer_is_written), STREAMS},
        {TEST(test_other_modes_are_refused), ONCE},
        {TEST(test_getline_times_out_in_the_middle_of_a_line), STREAMS},
        {TEST(test_a_timed_out_read_says_so_until_clearerr), ONCE},
        {TEST(test_a_file_that_must_not_wait_says_eagain), ONCE},
        {TEST(test_the_file_outlives_the_socket), STREAMS},
        {TEST(test_the_socket_outlives_the_file), STREAMS},
        {TEST(test_two_files_on_one_socket_take_turns), STREAMS},
        {TEST(test_writing_to_a_peer_that_left_fails), ONCE},
        {TEST(test_a_write_times_out_when_nobody_reads), ONCE},
        {TEST(test_a_reset_shows_as_an_error_and_not_as_an_end),
         INET_STREAM | INET6_STREAM},
        {TEST(test_an_interrupt_wakes_who_reads_a_file), STREAMS},
        {TEST(test_files_fail_after_detach), ONCE},
        {TEST(test_seeking_is_no_way_to_move_in_a_socket), ONCE},
    };

    return run_all(argc, argv, "makefile", tests, COUNT(tests));
}
