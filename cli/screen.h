/* SPDX-License-Identifier: MIT
 *
 * screen.h - the terminal of a dialogue: one prompt, and output from several
 * threads that never tears it.
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stddef.h>

/* `prompt` is ASCII. Lines of say() go through the screen from now on. 0, or
 * -1 where there is no memory. */
int screen_open(const char *prompt);

/* Gives the terminal back as it was. */
void screen_close(void);

/* Shows the prompt and reads a line, with editing where stdin and stdout are
 * a terminal. The line ends with its newline (also where the input has none)
 * and is valid until the next call. NULL: the end of the input (*error is 0),
 * it was ended from elsewhere (EINTR), or the input failed. */
const char *screen_read_line(size_t *len, int *error);

/* Whether lines are typed at a terminal. */
int screen_is_interactive(void);

/* What the peer has sent. From any one thread. */
void screen_answer(const void *data, size_t len);

/* A whole line of somebody else, without its newline, with a mark before it. */
void screen_line(const char *mark, const char *line, size_t len);

/* The errno with which stdout has failed; 0: it hasn't. */
int screen_failed(void);

#endif
