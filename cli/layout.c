/* SPDX-License-Identifier: MIT
 *
 * layout.c - where on the screen libedit's cursor is.
 *
 * Prompt and text may take several rows, and to take them off the screen one
 * has to know in which of them the cursor stands. libedit knows and doesn't
 * tell, so its way to lay out characters (re_addc and re_putc of its
 * refresh.c) is followed here: tabs are spaces up to a multiple of eight,
 * control characters are ^X, what doesn't print is \U+12AB, a wide character
 * that doesn't fit in a row goes to the next one, and what is taller than the
 * screen scrolls.
 */
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
};

static void next_row(struct place *at)
{
    at->column = 0;
    if (at->row + 1 < at->rows)
        at->row++;
}

/* A glyph of `width` columns; never wider than the terminal, which libedit
 * takes to have two columns or more. */
static void put_glyph(struct place *at, int width)
{
    if (at->column + width > at->columns)
        next_row(at);
    at->column += width;
    if (at->column >= at->columns)
        next_row(at);
}

static void put_glyphs(struct place *at, int count)
{
    while (count-- > 0)
        put_glyph(at, 1);
}

static void put_character(struct place *at, wchar_t c)
{
    if (c == L'\t')
        do
            put_glyph(at, 1);
        while (at->column % 8 != 0);
    else if (c == L'\n')
        next_row(at);
    else if (c < 0x100 && iswcntrl((wint_t)c))
        put_glyphs(at, 2);
    else if (!iswprint((wint_t)c))
        put_glyphs(at, c > 0xFFFF ? 8 : 7);
    else
        put_glyph(at, wcwidth(c) > 0 ? wcwidth(c) : 0);
}

int layout_terminal_is_capable(void)
{
    const char *terminal = getenv("TERM");

    return terminal && *terminal && strcmp(terminal, "dumb") != 0;
}

int layout_cursor_row(EditLine *editor, const char *prompt)
{
    struct place at = {.rows = 24, .columns = 80};
    const LineInfoW *line = el_wline(editor);
    const wchar_t *c;
    int width;

    if (!layout_terminal_is_capable())
        return -1;
    el_get(editor, EL_GETTC, "co", &at.columns);
    el_get(editor, EL_GETTC, "li", &at.rows);
    for (; *prompt; prompt++)
        put_glyph(&at, 1);
    for (c = line->buffer; c < line->cursor; c++)
        put_character(&at, *c);
    /* A wide character under the cursor may not fit there. */
    width = c < line->lastchar && iswprint((wint_t)*c) ? wcwidth(*c) : 0;
    if (width > 1 && at.column + width > at.columns)
        next_row(&at);
    return at.row;
}
