/* SPDX-License-Identifier: MIT
 *
 * screen.c - the terminal of a dialogue: one prompt, and output from several
 * threads that never tears it.
 *
 * Two ways to read lines. The editor, where stdin and stdout are a terminal:
 * libedit, with history. Else plainly: lines of a pipe or file, which are
 * printed after the prompt, so that what is printed reads as it does at a
 * terminal.
 *
 * libedit knows no threads. The lock is held by whoever is in libedit or
 * prints; the editor gives it away only while it waits for a key, in the
 * function that it calls for one (EL_GETCFN). A thread that has something to
 * print then takes what is typed off the screen, prints, and lets libedit draw
 * prompt and text again (EL_REFRESH). libedit doesn't tell where on the screen
 * its cursor is, so layout.c works it out.
 *
 * Between two lines the terminal stays without echo and line discipline: keys
 * that are pressed while an answer is awaited belong to the next line, and
 * would otherwise be echoed twice, and a Ctrl-D among them be lost.
 */
#include <errno.h>
#include <histedit.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>
#include "cli.h"
#include "keyboard.h"
#include "layout.h"
#include "screen.h"
#include "show.h"

#define HISTORY_LINES 1000

static struct {
    pthread_mutex_t lock;
    const char *prompt;
    EditLine *editor; /* NULL: plain lines */
    History *history;
    int typed;         /* stdin is a terminal */
    int to_terminal;   /* stdout is one */
    int shares_stderr; /* stderr is one too: the same */
    int colours;
    int prompting; /* the prompt is on the screen */
    int at_line_start;
    int in_answer;  /* what came last was (part of) an answer */
    int failed;     /* stdout's errno */
    int read_error; /* the keyboard's */
    struct show answer;
    char shown[SHOW_ROOM(PIECE_SIZE)];
    /* Plain lines: bytes start to end of `input` have been read. */
    char *input;
    size_t start;
    size_t end;
    size_t room;
} screen = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- output, under the lock -------------------------------------------- */

static void emit(const char *text, size_t len)
{
    if (len == 0 || screen.failed)
        return;
    if (write_all(STDOUT_FILENO, text, len) < 0) {
        screen.failed = errno;
        keyboard_end();
    }
    screen.at_line_start = text[len - 1] == '\n';
}

static void emit_text(const char *text)
{
    emit(text, strlen(text));
}

/* Shows `len` bytes, in pieces that fit. */
static void emit_shown(struct show *show, const char *data, size_t len)
{
    while (len > 0) {
        size_t n = len < PIECE_SIZE ? len : PIECE_SIZE;

        emit(screen.shown, show_bytes(show, data, n, screen.shown));
        data += n;
        len -= n;
    }
}

/* A terminal that can't move its cursor up keeps the old prompt, above. */
static void erase_prompt(void)
{
    char move[32];
    int rows =
        screen.editor ? layout_cursor_row(screen.editor, screen.prompt) : -1;

    if (rows < 0) {
        emit_text("\n");
        return;
    }
    if (rows > 0) {
        snprintf(move, sizeof move, "\033[%dA", rows);
        emit_text(move);
    }
    emit_text("\r\033[J");
    screen.at_line_start = 1;
}

/* See layout.c. */
static void repaint(void)
{
    size_t len;
    char *text = layout_repaint(screen.editor, screen.prompt, &len);

    if (text)
        emit(text, len);
    free(text);
}

static void draw_prompt(void)
{
    if (screen.editor) {
        el_set(screen.editor, EL_REFRESH);
        repaint();
    } else {
        emit_text(screen.prompt);
    }
    screen.at_line_start = 0;
}

/* Output stands between these two. An answer that goes on where the one
 * before ended goes on in the same line. */
static void begin_output(int is_answer)
{
    pthread_mutex_lock(&screen.lock);
    if (screen.prompting)
        erase_prompt();
    else if (!screen.at_line_start && !(is_answer && screen.in_answer))
        emit_text("\n");
    screen.in_answer = is_answer;
}

static void end_output(void)
{
    if (screen.prompting) {
        if (!screen.at_line_start)
            emit_text("\n");
        draw_prompt();
    }
    pthread_mutex_unlock(&screen.lock);
}

/* --- output ------------------------------------------------------------ */

void screen_answer(const void *data, size_t len)
{
    begin_output(1);
    emit_shown(&screen.answer, data, len);
    if (len == 0) /* an empty datagram is an answer too */
        emit_text("\n");
    end_output();
}

void screen_line(const char *mark, const char *line, size_t len)
{
    struct show show = {.raw = !screen.to_terminal};

    begin_output(0);
    if (screen.colours)
        emit_text("\033[2m"); /* dim */
    emit_text(mark);
    emit_shown(&show, line, len);
    emit(screen.shown, show_rest(&show, screen.shown));
    emit_text(screen.colours ? "\033[0m\n" : "\n");
    end_output();
}

static void say_line(const char *line, size_t len)
{
    if (screen.shares_stderr)
        begin_output(0);
    /* Where this fails there is nobody to be told. */
    if (write_all(STDERR_FILENO, line, len) == 0 && screen.shares_stderr)
        screen.at_line_start = 1;
    if (screen.shares_stderr)
        end_output();
}

int screen_failed(void)
{
    int failed;

    pthread_mutex_lock(&screen.lock);
    failed = screen.failed;
    pthread_mutex_unlock(&screen.lock);
    return failed;
}

/* --- the editor -------------------------------------------------------- */

static char *get_prompt(EditLine *editor)
{
    (void)editor;
    return (char *)(size_t)screen.prompt; /* libedit only reads it */
}

/* The window has another size, or we were suspended and whoever had the
 * terminal meanwhile has set it up in its own way. */
static void redraw(const struct termios *mode)
{
    tcsetattr(STDIN_FILENO, TCSADRAIN, mode);
    erase_prompt();
    el_resize(screen.editor);
    draw_prompt();
}

/* One byte, waiting for it without the lock. As keyboard_read. */
static ssize_t wait_for_byte(char *byte)
{
    struct termios mode;
    ssize_t n;

    tcgetattr(STDIN_FILENO, &mode);
    for (;;) {
        int error;

        pthread_mutex_unlock(&screen.lock);
        n = keyboard_read(STDIN_FILENO, byte, 1);
        error = errno;
        pthread_mutex_lock(&screen.lock);
        errno = error;
        if (n != -1 || error != EINTR)
            return n;
        if (keyboard_redraw_wanted())
            redraw(&mode);
    }
}

/* The editor's next character: 1; 0 at the end; -1 where reading has ended.
 * Bytes that are no UTF-8 are left out. */
static int get_character(EditLine *editor, wchar_t *c)
{
    mbstate_t state = {0};
    char byte;

    (void)editor;
    *c = L'\0';
    repaint();
    for (;;) {
        ssize_t n = wait_for_byte(&byte);
        size_t used;

        if (n <= 0) {
            if (n < 0)
                screen.read_error = n == KEYBOARD_ENDED ? EINTR : errno;
            return n == 0 ? 0 : -1;
        }
        used = mbrtowc(c, &byte, 1, &state);
        if (used == (size_t)-1) {
            memset(&state, 0, sizeof state);
            if (mbrtowc(c, &byte, 1, &state) == (size_t)-1)
                memset(&state, 0, sizeof state);
            else if (mbsinit(&state))
                return 1;
        } else if (used != (size_t)-2) {
            return 1;
        }
    }
}

/* libedit takes text apart with the terminal's insert and delete where it can,
 * and miscounts columns of wide characters there; so it shall overwrite. */
static void forbid_inserting(EditLine *editor)
{
    static const char *const capabilities[] = {"ic", "IC", "im", "ei",
                                               "dc", "DC", "dm", "ed"};

    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++)
        el_set(editor, EL_SETTC, capabilities[i], "", NULL);
}

static int open_editor(void)
{
    HistEvent event;

    screen.editor = el_init("krait", stdin, stdout, stderr);
    if (!screen.editor)
        return -1;
    screen.history = history_init();
    if (!screen.history) {
        el_end(screen.editor);
        screen.editor = NULL;
        return -1;
    }
    history(screen.history, &event, H_SETSIZE, HISTORY_LINES);
    history(screen.history, &event, H_SETUNIQUE, 1);
    el_set(screen.editor, EL_SIGNAL, 0);
    el_set(screen.editor, EL_PROMPT, get_prompt);
    el_set(screen.editor, EL_HIST, history, screen.history);
    el_set(screen.editor, EL_EDITOR, "emacs");
    el_set(screen.editor, EL_GETCFN, get_character);
    forbid_inserting(screen.editor);
    el_source(screen.editor, NULL); /* ~/.editrc, where there is one */
    el_set(screen.editor, EL_SETTY, "-x", "-echo", "-icanon", "-iexten", NULL);
    return 0;
}

static void close_editor(void)
{
    history_end(screen.history);
    el_end(screen.editor);
    screen.editor = NULL;
}

static const char *edit_line(size_t *len, int *error)
{
    HistEvent event;
    int count = 0;
    const char *line;

    screen.prompting = 1;
    screen.read_error = 0;
    line = el_gets(screen.editor, &count);
    *error = screen.read_error; /* errno may be libedit's own business */
    screen.prompting = 0;
    screen.at_line_start = line != NULL;
    if (!line) {
        emit_text("\n");
        return NULL;
    }
    *len = (size_t)count;
    if (*len > 1)
        history(screen.history, &event, H_ENTER, line);
    return line;
}

/* --- plain lines ------------------------------------------------------- */

/* The next whole line of what has been read already; NULL: there is none. */
static const char *take_line(size_t *len)
{
    char *line = screen.input + screen.start;
    char *newline = NULL;

    if (screen.end > screen.start)
        newline = memchr(line, '\n', screen.end - screen.start);
    if (!newline)
        return NULL;
    *len = (size_t)(newline - line) + 1;
    screen.start += *len;
    return line;
}

/* Room for another piece, and the newline that the last line may lack. */
static int make_room(void)
{
    char *bigger;

    if (screen.start > 0) {
        screen.end -= screen.start;
        memmove(screen.input, screen.input + screen.start, screen.end);
        screen.start = 0;
    }
    if (screen.room - screen.end > PIECE_SIZE)
        return 0;
    bigger = realloc(screen.input, 2 * screen.room + PIECE_SIZE + 1);
    if (!bigger)
        return -1;
    screen.input = bigger;
    screen.room = 2 * screen.room + PIECE_SIZE + 1;
    return 0;
}

/* Reads until there is a line; without the lock, as only this thread knows of
 * the input. As screen_read_line. */
static const char *await_line(size_t *len, int *error)
{
    const char *line;
    ssize_t n;

    *error = 0;
    while (!(line = take_line(len))) {
        if (make_room() < 0) {
            *error = errno;
            return NULL;
        }
        n = keyboard_read(STDIN_FILENO, screen.input + screen.end, PIECE_SIZE);
        if (n > 0) {
            screen.end += (size_t)n;
        } else if (n == 0 && screen.end > 0) {
            screen.input[screen.end++] = '\n';
        } else if (n == 0) {
            return NULL;
        } else if (n == KEYBOARD_ENDED || errno != EINTR) {
            *error = n == KEYBOARD_ENDED ? EINTR : errno;
            return NULL;
        }
    }
    return line;
}

/* Prompt and line are printed as one where the line is there already. */
static const char *plain_line(size_t *len, int *error)
{
    struct show show = {.raw = !screen.to_terminal};
    const char *line;

    *error = 0;
    line = take_line(len);
    emit_text(screen.prompt);
    if (!line) {
        screen.prompting = 1;
        pthread_mutex_unlock(&screen.lock);
        line = await_line(len, error);
        pthread_mutex_lock(&screen.lock);
        screen.prompting = 0;
    }
    if (!line) {
        emit_text("\n");
        return NULL;
    }
    if (screen.typed) /* the terminal has shown it */
        screen.at_line_start = 1;
    else
        emit_shown(&show, line, *len);
    return line;
}

/* --- opening, reading, closing ----------------------------------------- */

int screen_open(const char *prompt)
{
    const char *no_color = getenv("NO_COLOR");

    screen.prompt = prompt;
    screen.to_terminal = isatty(STDOUT_FILENO);
    screen.shares_stderr = screen.to_terminal && isatty(STDERR_FILENO);
    screen.colours = screen.to_terminal && !(no_color && *no_color) &&
                     layout_terminal_is_capable();
    screen.answer.raw = !screen.to_terminal;
    screen.at_line_start = 1;
    screen.typed = isatty(STDIN_FILENO);
    if (screen.typed && screen.to_terminal && open_editor() < 0)
        return -1;
    say_through(say_line);
    return 0;
}

int screen_is_interactive(void)
{
    return screen.editor != NULL;
}

const char *screen_read_line(size_t *len, int *error)
{
    const char *line;

    pthread_mutex_lock(&screen.lock);
    if (!screen.at_line_start)
        emit_text("\n");
    line = screen.editor ? edit_line(len, error) : plain_line(len, error);
    screen.in_answer = 0;
    pthread_mutex_unlock(&screen.lock);
    return line;
}

void screen_close(void)
{
    begin_output(1);
    emit(screen.shown, show_rest(&screen.answer, screen.shown));
    if (!screen.at_line_start)
        emit_text("\n");
    pthread_mutex_unlock(&screen.lock);
    say_through(NULL);
    if (screen.editor)
        close_editor();
    free(screen.input);
    screen.input = NULL;
}
