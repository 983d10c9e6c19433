# SPDX-License-Identifier: MIT
"""The small things' row, "micro": what the program micro tells, which measures
by itself. A part of it, by its name, is judged by a target of its own."""

import csv
import os
from dataclasses import dataclass

from driver.processes import Failed, Process

NAME = 'micro'
TITLE = 'Small things, ns'
PATIENCE = 300      # s
COLUMNS = ('what', 'where', 'median_ns', 'fast_ns', 'ratio', 'yardstick',
           'target_ns')


@dataclass(frozen=True)
class Thing:
    what: str
    where: str
    median: float
    fast: float
    ratio: float        # to the yardstick; 0: there is none
    yardstick: str
    target: float       # 0: there is none

    @property
    def state(self):
        return 'reached' if self.median <= self.target else 'missed'


def parse(text):
    lines = csv.DictReader(text.splitlines(), delimiter='\t')
    if tuple(lines.fieldnames or ()) != COLUMNS:
        raise Failed(f'{NAME}: says {text[:60]!r}')
    try:
        return [Thing(line['what'], line['where'], *(
            float(line[key]) for key in ('median_ns', 'fast_ns', 'ratio')),
            line['yardstick'], float(line['target_ns'])) for line in lines]
    except (TypeError, ValueError) as error:
        raise Failed(f'{NAME}: {error}') from error


def measure(programs, core):
    """[Thing]; raises Failed."""
    path = os.path.join(programs.build, NAME)
    if not os.path.exists(path):
        raise Failed(f'not there: {NAME} was not built')
    process = Process([path, '--tsv'], core)
    try:
        return parse(process.all(PATIENCE))
    finally:
        process.end()


def table(things):
    """[cells], the header first."""
    yield ['what', 'where', 'median', 'best tenth', 'ratio', 'to']
    for one in things:
        yield [one.what, one.where, f'{one.median:.1f}', f'{one.fast:.1f}',
               f'{one.ratio:.2f}' if one.yardstick else '', one.yardstick]


def targets(things):
    """[(what, measured, state)]"""
    for one in things:
        if one.target:
            yield (f'{one.what} ({one.where}): at most {one.target:.0f} ns',
                   f'{one.median:.1f} ns', one.state)
