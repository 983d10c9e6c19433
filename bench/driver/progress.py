# SPDX-License-Identifier: MIT
"""What runs, how far it is and how long it will still take, on stderr."""

import sys
import time


class Progress:
    """Rewrites one line of a terminal; elsewhere it says a line for a row."""

    def __init__(self, rows, seconds, stream=sys.stderr):
        self.rows = rows            # names, in their order
        self.seconds = seconds      # {name: what it should take}
        self.stream = stream
        self.live = stream.isatty()
        self.current = None
        self.began = None

    def row(self, name):
        self.current = name
        self.began = time.monotonic()
        if not self.live:
            self._write(f'{self._place()}: {name}, {self._left()} left\n')

    def step(self, text):
        self._show(f'{self._place()}: {self.current}: {text}')

    def round(self, turn, rounds, server):
        self.step(f'round {turn + 1}/{rounds}, {server}, {self._left()} left')

    def end(self):
        self._show('')

    def _place(self):
        return f'row {self.rows.index(self.current) + 1}/{len(self.rows)}'

    def _left(self):
        later = self.rows[self.rows.index(self.current) + 1:]
        spent = time.monotonic() - self.began
        left = max(0, self.seconds[self.current] - spent)
        left += sum(self.seconds[name] for name in later)
        return f'{left / 60:.0f} min' if left > 90 else f'{left:.0f} s'

    def _show(self, text):
        if self.live:
            self._write(f'\r\033[K{text}')

    def _write(self, text):
        self.stream.write(text)
        self.stream.flush()
