# SPDX-License-Identifier: MIT
"""How a row is measured.

All its servers stay up, each with its load generator connected to it; each
round gives every one a short slice, in an order drawn anew, while all the
others wait. What slows the machine down for some seconds thus meets all alike.
"""

import fcntl
import random
import time
from dataclasses import dataclass, field

from driver import idle
from driver.figures import DISTURBED
from driver.processes import Contender, Failed
from driver.report import ABSENT

WARM_UP = 0.15      # s, for each server, before the first round
TURN = 30           # s, for which a lock is held before others have a turn
GIVE_WAY = 0.2      # s: whoever waits has to wake up first
PAUSE = 0.02        # s, between slices: what is behind a reply comes to rest


@dataclass
class Settings:
    """What holds for the whole run."""
    programs: object
    cores: tuple = None         # the server's, the load generator's
    seconds: float = None       # of a slice, instead of the row's
    rounds: int = None          # likewise
    lock: object = None         # a Lock: others measure here as well
    budget: float = None        # s: a row may take so long
    dice: random.Random = field(default_factory=random.Random)

    @property
    def server_core(self):
        return self.cores[0] if self.cores else None

    @property
    def load_core(self):
        return self.cores[1] if self.cores else None

    def of(self, row):
        return self.seconds or row.slice, self.rounds or row.rounds

    def clock(self):
        """Seconds, of which those that others have used don't count."""
        return time.monotonic() - (self.lock.waited if self.lock else 0)

    def quiet(self):
        """To be called before anything is measured: nobody else measures
        until the next call."""
        if self.lock:
            self.lock.renew()


class Lock:
    """Users of one machine who take turns: by flock(2), as flock(1) does."""

    def __init__(self, path):
        self.file = open(path, 'a', encoding='ascii')
        self.until = None       # when others get their turn
        self.waited = 0.0       # s, for others in all

    def renew(self):
        if self.until and time.monotonic() < self.until:
            return
        if self.until:
            fcntl.flock(self.file, fcntl.LOCK_UN)
            time.sleep(GIVE_WAY)
        began = time.monotonic()
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.waited += time.monotonic() - began
        self.until = time.monotonic() + TURN


@dataclass
class Measured:
    """A row's slices, or the reason why there are none, by server."""
    row: object
    servers: list
    slices: dict = field(default_factory=dict)      # name: {round: slice}
    failures: dict = field(default_factory=dict)    # name: reason
    complete: bool = False

    def rounds(self):
        return max((len(turns) for turns in self.slices.values()), default=0)

    def disturbed(self):
        """The share of the slices that were."""
        pieces = [piece for turns in self.slices.values()
                  for piece in turns.values()]
        bad = [piece for piece in pieces if piece['delay'] > DISTURBED]
        return len(bad) / len(pieces) if pieces else 0.0

    def calm_slices(self):
        """Of the server that has the fewest."""
        return min((sum(piece['delay'] <= DISTURBED for piece in
                        self.slices[server.name].values())
                    for server in self.good()), default=0)

    def good(self):
        """The servers that have figures."""
        return [server for server in self.servers
                if server.name not in self.failures
                and self.slices.get(server.name)]


def measure(measured, settings, progress):
    """Fills MEASURED. A server's failure is part of the result; what is there
    already when the user loses patience (KeyboardInterrupt) stays."""
    row = measured.row
    contenders = []
    for server in measured.servers:
        why = settings.programs.why_absent(server)
        if why:
            measured.failures[server.name] = f'{ABSENT}{why}'
        elif row.only and not any(server.matches(word) for word in row.only):
            measured.failures[server.name] = 'not for this row'
        else:
            contenders.append(Contender(server))
    if row.idle:
        idle.measure(measured, contenders, settings, progress)
    else:
        _Rotation(measured, contenders, settings, progress).run()
    measured.complete = True


class _Rotation:
    def __init__(self, measured, contenders, settings, progress):
        self.measured = measured
        self.row = measured.row
        self.up = contenders
        self.settings = settings
        self.progress = progress

    def run(self):
        everybody = list(self.up)
        began = self.settings.clock()
        try:
            self._each('starting', lambda one: one.start(
                self.settings.programs, self.row, self.settings.server_core))
            self._each('connecting', lambda one: one.connect(
                self.settings.programs, self.row, self.settings.load_core))
            self._each('warming up', lambda one: one.run(WARM_UP))
            self._rounds(began)
        finally:
            for contender in everybody:
                contender.ask_to_end()
            for contender in everybody:
                contender.end()

    def _each(self, doing, what):
        for contender in list(self.up):
            self.progress.step(f'{doing} {contender.server.name}')
            self.settings.quiet()
            self._try(contender, what)

    def _try(self, contender, what):
        """Whoever fails is out of the row, and of the others' way."""
        try:
            return what(contender)
        except Failed as failed:
            self.measured.failures[contender.server.name] = str(failed)
            self.up.remove(contender)
            contender.end()
            return None

    def _rounds(self, began):
        """Where the machine is not quiet there are up to half as many more,
        until all have had enough slices that nothing disturbed."""
        seconds, rounds = self.settings.of(self.row)
        budget = self.settings.budget
        for turn in range(rounds * 3 // 2):
            if turn >= rounds and self.measured.calm_slices() >= rounds:
                break
            self._round(turn, rounds, seconds)
            if not self.up or budget and self.settings.clock() - began > budget:
                break

    def _round(self, turn, rounds, seconds):
        order = list(self.up)
        self.settings.dice.shuffle(order)
        self.settings.quiet()
        for contender in order:
            name = contender.server.name
            self.progress.round(turn, rounds, name)
            piece = self._try(contender, lambda one: one.run(seconds))
            if piece:
                self.measured.slices.setdefault(name, {})[turn] = piece
            time.sleep(PAUSE)
