/* SPDX-License-Identifier: MIT
 *
 * layout.h - where on the screen libedit's cursor is.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <histedit.h>

/* How many rows the cursor is below the row in which the prompt begins; -1
 * where the terminal can't move its cursor up. */
int layout_cursor_row(EditLine *editor, const char *prompt);

/* Whether the terminal understands ECMA-48's sequences, as all do but those
 * that call themselves dumb. */
int layout_terminal_is_capable(void);

#endif
