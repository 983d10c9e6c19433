/* SPDX-License-Identifier: MIT
 *
 * flow.c - the current flow of control.
 */
#include "base/flow.h"

#include <stdlib.h>

_Thread_local struct krait__flow krait__flow_own;
_Thread_local struct krait__flow *krait__flow_current;

void krait__flow_free_line(struct krait__flow *flow)
{
    free(flow->line);
    flow->line = NULL;
}
