/* SPDX-License-Identifier: MIT
 *
 * dialogue.h - the client's side of a conversation: a line, and its answer.
 */
#ifndef DIALOGUE_H
#define DIALOGUE_H

#include <krait.h>

struct dialogue_options {
    krait_sock *sock; /* connected; without a timeout */
    double timeout;   /* seconds to wait for an answer; 0: the default */
};

#define DIALOGUE_PROMPT "Please input msg:"

/* How it ended. */
struct dialogue_end {
    int status;
    int peer_left; /* the peer ended it, and not we */
};

/* Talks until the input ends, the peer leaves or a signal comes. Between
 * screen_open and screen_close; keyboard_start comes before. */
struct dialogue_end dialogue(const struct dialogue_options *options);

#endif
