/* SPDX-License-Identifier: MIT
 *
 * list.h - a list whose nodes are embedded in what they link, so that joining
 * and leaving allocate nothing. A node knows the pointer that points to it, and
 * leaves without its list. Whoever shares a list locks it.
 */
#ifndef KRAIT__LIST_H
#define KRAIT__LIST_H

#include <stddef.h>

struct krait__node {
    struct krait__node *next, **link;
};

/* At the front. */
static inline void krait__list_add(struct krait__node **list,
                                   struct krait__node *node)
{
    node->next = *list;
    node->link = list;
    if (node->next)
        node->next->link = &node->next;
    *list = node;
}

static inline void krait__list_remove(struct krait__node *node)
{
    *node->link = node->next;
    if (node->next)
        node->next->link = node->link;
}

/* What a node is embedded in, as its member `member`. */
#define KRAIT__OF(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
