# SPDX-License-Identifier: MIT
"""The row about memory: what a connection takes that is doing nothing.

One server after another: its memory and the kernel's are read when it listens,
and again when all its connections have had an echo each and are waiting for
more. What the kernel takes is for both ends, since both are on this machine;
it is the growth of what only the kernel uses. As a cross-check, what is no
longer available, less what the two processes have grown by, ought to be about
the same.
"""

import os
import time

from driver.processes import Failed

SETTLED = 0.001     # a change of the kernel's memory that is none
PATIENCE = 5        # s, for it to settle
PAGE = os.sysconf('SC_PAGE_SIZE')


def meminfo():
    with open('/proc/meminfo', encoding='ascii') as file:
        lines = (line.split() for line in file)
        return {words[0].rstrip(':'): int(words[1]) * 1024 for words in lines}


def kernel_memory(info):
    return sum(info.get(part, 0) for part in
               ('Slab', 'KernelStack', 'PageTables', 'Percpu'))


def tcp_buffers():
    """Bytes in TCP's queues, which a connection at rest has none of."""
    with open('/proc/net/sockstat', encoding='ascii') as file:
        for line in file:
            words = line.split()
            if words[0] == 'TCP:':
                return int(words[words.index('mem') + 1]) * PAGE
    return 0


def family(pid):
    """PID and its descendants: some servers have a process for each."""
    yield pid
    try:
        for thread in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{thread}/children',
                      encoding='ascii') as file:
                for child in file.read().split():
                    yield from family(int(child))
    except OSError:
        pass


def resident(pid):
    total = 0
    for one in family(pid):
        try:
            with open(f'/proc/{one}/smaps_rollup', encoding='ascii') as file:
                total += next(int(line.split()[1]) * 1024 for line in file
                              if line.startswith('Rss:'))
        except (OSError, StopIteration):
            with open(f'/proc/{one}/statm', encoding='ascii') as file:
                total += int(file.read().split()[1]) * PAGE
    return total


def settle():
    """Until the kernel has freed what it frees later (RCU)."""
    deadline = time.monotonic() + PATIENCE
    calm = 0
    before = kernel_memory(meminfo())
    while calm < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
        now = kernel_memory(meminfo())
        calm = calm + 1 if abs(now - before) < SETTLED * before else 0
        before = now


def _one(contender, settings, row):
    programs = settings.programs
    contender.start(programs, row, settings.server_core)
    settle()
    before = meminfo()
    own = resident(contender.process.pid)
    contender.connect(programs, row, settings.load_core)
    piece = contender.run(settings.of(row)[0])
    if piece['requests'] < row.connections:
        raise Failed('not every connection had its echo')
    settle()
    after = meminfo()
    grown = resident(contender.process.pid) - own
    client = resident(contender.load.pid)
    kernel = kernel_memory(after) - kernel_memory(before)
    gone = before['MemAvailable'] - after['MemAvailable'] - grown - client
    each = row.connections
    # Memory is the same for whoever had to wait.
    return {**piece, 'delay': 0.0, 'rss': grown / each, 'kernel': kernel / each,
            'gone': gone / each, 'buffers': tcp_buffers() / each}


def measure(measured, contenders, settings, progress):
    row = measured.row
    rounds = settings.of(row)[1]
    up = list(contenders)
    for turn in range(rounds):
        order = list(up)
        settings.dice.shuffle(order)
        for contender in order:
            name = contender.server.name
            progress.round(turn, rounds, name)
            try:
                settings.quiet()
                piece = _one(contender, settings, row)
                measured.slices.setdefault(name, {})[turn] = piece
            except Failed as failed:
                measured.failures[name] = str(failed)
                up.remove(contender)
            finally:
                contender.end()
                settle()
