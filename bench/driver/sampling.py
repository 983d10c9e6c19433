# SPDX-License-Identifier: MIT
"""Where the server's time goes, by part, from perf's samples by the clock.

Few virtual machines have counters, so it is a timer that takes the samples.
It can't interrupt code that has interrupts switched off, and finds such code
where it switches them on again: a share is a direction, not a measurement.
"""

import collections
import os
import re
import shutil
import signal
import subprocess
import tempfile

from driver import parts
from driver.processes import Contender, Failed

RATE = 4000     # samples a second
NOT_OURS = ('reference', 'peer')
FRAME = re.compile(r'\s+[0-9a-f]+ (.+) \((.+)\)')


def stacks(lines):
    """perf script's output: each sample as [(function, object)], the
    innermost first."""
    stack = []
    for line in lines:
        frame = FRAME.match(line)
        if frame:
            stack.append((frame[1].partition('+')[0], frame[2]))
        elif stack:
            yield stack
            stack = []
    if stack:
        yield stack


def part_of(stack, tree, program):
    """TREE is None for a server that has nothing of Krait's."""
    name, where = stack[0]
    if where.startswith('[') and where != '[vdso]':
        return parts.of_kernel([function for function, place in stack
                                if place.startswith('[')])
    own = os.path.basename(where) == program
    if tree:
        return tree.of_symbol(name, own)
    return parts.HANDLER if own else parts.LIBC


def _record(contender, seconds, folder):
    """The slice's numbers; the samples are in FOLDER/perf.data."""
    out = os.path.join(folder, 'perf.data')
    with subprocess.Popen(
            ['perf', 'record', '--quiet', '-e', 'cpu-clock', '-F', str(RATE),
             '-g', '-o', out, '-p', str(contender.process.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True) as perf:
        try:
            piece = contender.run(seconds)
        finally:
            perf.send_signal(signal.SIGINT)
            _, said = perf.communicate(timeout=60)
    if not os.path.exists(out):
        raise Failed(f'perf: {said.decode(errors="replace").strip()}')
    return piece


def _read(folder, tree, program):
    done = subprocess.run(
        ['perf', 'script', '-i', os.path.join(folder, 'perf.data'),
         '-F', 'ip,sym,dso'], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, check=False, timeout=300)
    found = collections.Counter(
        part_of(stack, tree, program)
        for stack in stacks(done.stdout.splitlines()))
    if not found:
        raise Failed('perf has no samples')
    return found


def share(server, programs, row, cores, tree, seconds):
    """{part: share of the server's time}, and the slice's numbers."""
    if not shutil.which('perf'):
        raise Failed('there is no perf here')
    core_of = cores or (None, None)
    contender = Contender(server)
    with tempfile.TemporaryDirectory() as folder:
        try:
            contender.start(programs, row, core_of[0])
            contender.connect(programs, row, core_of[1])
            contender.run(0.2)
            piece = _record(contender, seconds, folder)
            found = _read(folder, None if server.group in NOT_OURS else tree,
                          os.path.basename(server.program))
        finally:
            contender.end()
    total = sum(found.values())
    return {part: count / total for part, count in found.items()}, piece
