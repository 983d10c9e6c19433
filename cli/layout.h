/* SPDX-License-Identifier: MIT
 *
 * layout.h - where on the screen libedit's text and cursor are.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <histedit.h>
#include <stddef.h>

/* Whether the terminal understands ECMA-48's sequences, as all do but those
 * that call themselves dumb. */
int layout_terminal_is_capable(void);

/* How many rows the cursor is below the row in which the prompt begins; -1
 * where the terminal can't move its cursor up. */
int layout_cursor_row(EditLine *editor, const char *prompt);

/* What makes the screen show prompt and text as libedit believes that it does,
 * given that the cursor is in the right row. The caller frees it. NULL: that
 * is not needed, or not possible. */
char *layout_repaint(EditLine *editor, const char *prompt, size_t *len);

#endif
