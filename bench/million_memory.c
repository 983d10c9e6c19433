/* SPDX-License-Identifier: MIT
 *
 * million_memory.c - how much memory there is, and who has it.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "million.h"

/* The number after `name` at the beginning of a line; 0: there is none. */
static uint64_t number_in(const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    uint64_t number = 0;
    char line[256];

    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0) {
            number = strtoull(line + strlen(name), NULL, 10);
            break;
        }
    fclose(file);
    return number;
}

uint64_t million_meminfo(const char *name)
{
    return number_in("/proc/meminfo", name) << 10;
}

uint64_t million_status(pid_t pid, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return number_in(path, name) << 10;
}

/* --- control groups ------------------------------------------------------ */

/* How the two versions call things. */
struct version {
    const char *line; /* of /proc/self/cgroup */
    const char *root;
    const char *limit, *used, *cache;
};

static const struct version versions[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
     "memory.usage_in_bytes", "total_inactive_file "},
};

/* What a group may still have; UINT64_MAX: there is no such group, or no
 * limit. */
static uint64_t room_in(const struct version *v, const char *group)
{
    char path[2 * PATH_MAX];
    uint64_t limit, used, cache;

    snprintf(path, sizeof path, "%s%s/%s", v->root, group, v->limit);
    limit = number_in(path, "");
    if (limit == 0)
        return UINT64_MAX;
    snprintf(path, sizeof path, "%s%s/%s", v->root, group, v->used);
    used = number_in(path, "");
    snprintf(path, sizeof path, "%s%s/memory.stat", v->root, group);
    cache = number_in(path, v->cache);
    used -= cache < used ? cache : used;
    return used < limit ? limit - used : 0;
}

/* The least room of a group and of those around it. */
static uint64_t room_up_from(const struct version *v, char *group)
{
    uint64_t least = UINT64_MAX;
    char *slash;

    for (;;) {
        uint64_t room = room_in(v, group);

        least = room < least ? room : least;
        slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

static uint64_t room_in_groups(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    uint64_t least = UINT64_MAX;
    char line[PATH_MAX];

    if (!file)
        return least;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
            const struct version *v = &versions[i];
            char *at = strstr(line, v->line);
            uint64_t room;

            if (!at)
                continue;
            room = room_up_from(v, at + strlen(v->line));
            least = room < least ? room : least;
        }
    }
    fclose(file);
    return least;
}

/* MemAvailable takes the kernel's reclaimable objects for free, inodes and
 * directory entries; but those of open sockets are not to be had, at 2 KiB a
 * connection. */
uint64_t million_available(void)
{
    uint64_t machine = million_meminfo("MemAvailable:");
    uint64_t objects = million_meminfo("SReclaimable:");
    uint64_t groups = room_in_groups();

    machine -= objects < machine ? objects : machine;
    return groups < machine ? groups : machine;
}
