/* SPDX-License-Identifier: MIT
 *
 * flow.c - the current flow of control.
 */
#include "base/flow.h"

#include <stdlib.h>

static _Thread_local struct krait__flow thread_flow;
static _Thread_local struct krait__flow *current;

struct krait__flow *krait__flow(void)
{
    return current ? current : &thread_flow;
}

void krait__flow_enter(struct krait__flow *flow)
{
    current = flow;
}

void krait__flow_end(struct krait__flow *flow)
{
    free(flow->line);
    flow->line = NULL;
}
