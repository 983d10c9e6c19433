/* SPDX-License-Identifier: MIT
 *
 * layout.c - where on the screen libedit's text and cursor are.
 *
 * Prompt and text may take several rows, and to take them off the screen one
 * has to know in which of them the cursor stands. libedit knows and doesn't
 * tell, so its way to lay out characters (re_addc and re_putc of its
 * refresh.c) is followed here: tabs are spaces up to a multiple of eight,
 * control characters are ^X, what doesn't print is \U+12AB, a wide character
 * that doesn't fit in a row goes to the next one, and what is taller than the
 * screen scrolls.
 *
 * And libedit (3.1-20221030) paints wide characters wrongly where they stand
 * in several rows: to move the cursor right by up to four columns it writes
 * what is there again, and if the cursor has come from another row and stands
 * in the middle of a wide character, that is one column off. What it believes
 * to be on the screen is right, so that is painted again.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>
#include "layout.h"

struct place {
    int row;
    int column;
    int rows; /* the terminal's size */
    int columns;
    int scrolled; /* it was too small */
    int wide;     /* there was a wide character */
    FILE *paint;  /* NULL: only look where things go */
};

static void next_row(struct place *at)
{
    at->column = 0;
    if (at->row + 1 < at->rows)
        at->row++;
    else
        at->scrolled = 1;
    if (at->paint)
        fputs("\r\n", at->paint);
}

/* A glyph of `width` columns; never wider than the terminal, which libedit
 * takes to have two columns or more. */
static void put_glyph(struct place *at, int width, const char *glyph)
{
    if (at->column + width > at->columns)
        next_row(at);
    if (at->paint)
        fputs(glyph, at->paint);
    at->wide |= width > 1;
    at->column += width;
    if (at->column >= at->columns)
        next_row(at);
}

static void put_ascii(struct place *at, const char *text)
{
    char glyph[2] = "";

    for (; *text; text++) {
        glyph[0] = *text;
        put_glyph(at, 1, glyph);
    }
}

static void put_printable(struct place *at, wchar_t c)
{
    char glyph[MB_LEN_MAX + 1] = "";
    mbstate_t state = {0};
    int width = wcwidth(c);

    if (wcrtomb(glyph, c, &state) == (size_t)-1)
        glyph[0] = '\0';
    put_glyph(at, width > 0 ? width : 0, glyph);
}

static void put_character(struct place *at, wchar_t c)
{
    char text[16];

    if (c == L'\t') {
        do
            put_glyph(at, 1, " ");
        while (at->column % 8 != 0);
    } else if (c == L'\n') {
        next_row(at);
    } else if (c < 0x100 && iswcntrl((wint_t)c)) {
        snprintf(text, sizeof text, "^%c", c == 0x7F ? '?' : (int)c | 0x40);
        put_ascii(at, text);
    } else if (!iswprint((wint_t)c)) {
        snprintf(text, sizeof text, "\\U+%04lX", (unsigned long)c);
        put_ascii(at, text);
    } else {
        put_printable(at, c);
    }
}

static struct place beginning(EditLine *editor, FILE *paint)
{
    struct place at = {.rows = 24, .columns = 80, .paint = paint};

    el_get(editor, EL_GETTC, "co", &at.columns);
    el_get(editor, EL_GETTC, "li", &at.rows);
    return at;
}

/* Puts prompt and text; `*cursor` is where the cursor belongs. */
static void put_all(struct place *at, EditLine *editor, const char *prompt,
                    struct place *cursor)
{
    const LineInfoW *line = el_wline(editor);

    put_ascii(at, prompt);
    *cursor = *at;
    for (const wchar_t *c = line->buffer; c < line->lastchar; c++) {
        if (c == line->cursor)
            *cursor = *at;
        /* A wide character under the cursor takes it along. */
        if (c == line->cursor && at->column + wcwidth(*c) > at->columns &&
            iswprint((wint_t)*c)) {
            cursor->column = 0;
            cursor->row++;
        }
        put_character(at, *c);
    }
    if (line->cursor >= line->lastchar)
        *cursor = *at;
}

int layout_terminal_is_capable(void)
{
    const char *terminal = getenv("TERM");

    return terminal && *terminal && strcmp(terminal, "dumb") != 0;
}

int layout_cursor_row(EditLine *editor, const char *prompt)
{
    struct place at = beginning(editor, NULL);
    struct place cursor;

    if (!layout_terminal_is_capable())
        return -1;
    put_all(&at, editor, prompt, &cursor);
    return cursor.row;
}

static void move(FILE *paint, int count, char direction)
{
    if (count > 0)
        fprintf(paint, "\033[%d%c", count, direction);
}

char *layout_repaint(EditLine *editor, const char *prompt, size_t *len)
{
    struct place at = beginning(editor, NULL);
    struct place cursor;
    char *text = NULL;

    put_all(&at, editor, prompt, &cursor);
    if (!at.wide || at.row == 0 || at.scrolled || !layout_terminal_is_capable())
        return NULL;
    at = beginning(editor, open_memstream(&text, len));
    if (!at.paint)
        return NULL;
    move(at.paint, cursor.row, 'A');
    fputs("\r\033[J", at.paint);
    put_all(&at, editor, prompt, &cursor);
    move(at.paint, at.row - cursor.row, 'A');
    fputc('\r', at.paint);
    move(at.paint, cursor.column, 'C');
    if (fclose(at.paint) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
