# SPDX-License-Identifier: MIT
"""Instructions in user space for each request, by part, from callgrind.

The server runs twice, with connections only and with requests as well; the
difference is what the requests took. Instructions are counted, not timed:
they are the same whatever else the machine does.
"""

import collections
import os
import re
import shutil
import tempfile

from driver.processes import Contender, Failed

SLICE = 2       # s; in Valgrind that is a few thousand requests


def self_cost(lines, part_of_file):
    """Callgrind's file: {part: instructions}. A line of costs belongs to the
    file that was named last (inlined functions bring their own); the line
    after a "calls=" tells what the callee took and is not the caller's."""
    names = {}
    costs = collections.Counter()
    part = None
    callee = False
    for line in lines:
        file = re.match(r'(fl|fi|fe|cfi|cfl)=(?:\((\d+)\))? ?(.*)', line)
        if file:
            key, number, name = file.groups()
            if number and name:
                names[number] = name
            if not key.startswith('c'):     # of the callee
                part = part_of_file(names.get(number, name))
        elif line.startswith('calls='):
            callee = True
        elif re.match(r'[+*\-\d]', line):
            words = line.split()
            if not callee and len(words) > 1:
                costs[part] += int(words[1])
            callee = False
    return costs


def _run(server, programs, row, seconds, core_of, part_of_file):
    """({part: instructions}, requests)"""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'callgrind')
        contender = Contender(server, wrapper=[
            'valgrind', '--tool=callgrind', '--quiet', '--dump-line=yes',
            f'--callgrind-out-file={out}'])
        try:
            contender.start(programs, row, core_of[0])
            contender.connect(programs, row, core_of[1])
            done = contender.run(seconds)['requests'] if seconds else 0
        finally:
            contender.end()
        if not os.path.exists(out) or not os.path.getsize(out):
            raise Failed('callgrind has written nothing')
        with open(out, encoding='utf-8', errors='replace') as file:
            return self_cost(file, part_of_file), done


def count(server, programs, row, cores, part_of_file):
    """{part: instructions for each request}"""
    if not shutil.which('valgrind'):
        raise Failed('there is no valgrind here')
    if 'uring' in server.traits:
        raise Failed('Valgrind blocks signals in io_uring_enter(2)')
    core_of = cores or (None, None)
    idle, _ = _run(server, programs, row, 0, core_of, part_of_file)
    busy, requests = _run(server, programs, row, SLICE, core_of,
                          part_of_file)
    counts = {part: (busy[part] - idle[part]) / requests for part in busy}
    return {part: count for part, count in counts.items() if count >= 0.5}
