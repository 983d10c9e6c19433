# SPDX-License-Identifier: MIT
"""What is made of the slices: pure arithmetic, which starts nothing.

Noise on a machine that others share is one-sided: a slice is slowed down by
what else runs, and never sped up. So a figure is the median of the best third
of its slices; those in which one of the two sides had to wait for its core are
left out before. A machine may also change its pace from one minute to the next,
for all servers alike; so servers are compared within a round, whose slices
were taken within seconds of each other, and a ratio is the median of the
rounds' ratios.
"""

import math
from dataclasses import dataclass

# A slice is disturbed if one of its two sides has had to wait for its core for
# this share of the time. On an idle machine that is 1 % or 2 %.
DISTURBED = 0.05
# So many undisturbed slices are enough to leave the others out.
ENOUGH = 3

# A core that is busy for this share of a slice is what limits it. The rest is
# what waking up costs even under full load.
SATURATED = 0.92


def quantile(values, q):
    """Between the two nearest values, in proportion."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values):
    return quantile(values, 0.5)


@dataclass(frozen=True)
class Figure:
    """Something that is read off a slice, and which way is better."""
    name: str
    unit: str
    more_is_better: bool
    needs: str  # the key of a slice without which there is no such figure
    of: object  # function(slice, row) -> number
    noise_is_one_sided: bool = True

    def best_of(self, values):
        """The median of the best third; or of all, where what others do may
        as well help as hinder."""
        if not self.noise_is_one_sided:
            return median(values)
        ordered = sorted(values, reverse=self.more_is_better)
        return median(ordered[:math.ceil(len(ordered) / 3)])

    def is_better(self, one, other):
        return one > other if self.more_is_better else one < other


def _rate(piece, _row):
    return piece['requests'] / piece['seconds'] / 1e3


def _throughput(piece, _row):
    return piece['bytes'] / piece['seconds'] / 1e6


def _cost(piece, row):
    """What a request costs the server beyond the work that it was told to
    do. A server that took several requests for one may seem to be below 0."""
    return piece['server_us'] - row.work / 1e3


FIGURES = {figure.name: figure for figure in (
    Figure('rate', 'K/s', True, 'requests', _rate),
    Figure('throughput', 'MB/s', True, 'bytes', _throughput),
    Figure('cost', 'µs', False, 'server_us', _cost),
    Figure('p50', 'µs', False, 'p50_us', lambda piece, _: piece['p50_us']),
    Figure('p99', 'µs', False, 'p99_us', lambda piece, _: piece['p99_us']),
    Figure('p999', 'µs', False, 'p999_us', lambda piece, _: piece['p999_us']),
    Figure('rss', 'B', False, 'rss', lambda piece, _: piece['rss'], False),
    Figure('kernel', 'B', False, 'kernel', lambda piece, _: piece['kernel'],
           False),
)}


def _noise(low, high, count):
    """How far off a median may be, 19 times in 20: the notch of a box plot
    (McGill, Tukey and Larsen, 1978)."""
    return 1.57 * (high - low) / math.sqrt(count)


@dataclass(frozen=True)
class Value:
    """A figure of one server in one row."""
    best: float       # the median of the best third
    low: float        # a quarter of the slices is below this ...
    high: float       # ... and a quarter above this
    slices: int

    @property
    def spread(self):
        """The middle half of the slices, as a share of its middle."""
        middle = (self.low + self.high) / 2
        return (self.high - self.low) / middle if middle else 0.0

    @property
    def noise(self):
        return _noise(self.low, self.high, self.slices)


@dataclass(frozen=True)
class Ratio:
    """One server by another, in the rounds that both were in."""
    middle: float
    low: float
    high: float
    rounds: int

    @property
    def noise(self):
        return _noise(self.low, self.high, self.rounds)


def calm(turns):
    """Of {round: slice} those that nothing has disturbed; or all, if these are
    too few. Whether a slice is left out does not depend on its result."""
    found = {turn: piece for turn, piece in turns.items()
             if piece.get('delay', 0) <= DISTURBED}
    return found if len(found) >= ENOUGH else turns


def value(figure, slices, row):
    numbers = [figure.of(piece, row) for piece in slices]
    return Value(figure.best_of(numbers), quantile(numbers, 0.25),
                 quantile(numbers, 0.75), len(numbers))


def ratio(figure, ours, theirs, row):
    """Both are {round: slice}. None where no round has both, or where the
    other has nothing to divide by."""
    both = {turn: (ours[turn], theirs[turn])
            for turn in ours.keys() & theirs.keys()
            if figure.of(theirs[turn], row) > 0}
    if not both:
        return None
    undisturbed = calm({turn: {'delay': max(one.get('delay', 0),
                                            other.get('delay', 0))}
                        for turn, (one, other) in both.items()})
    ratios = [figure.of(one, row) / figure.of(other, row)
              for turn, (one, other) in both.items() if turn in undisturbed]
    return Ratio(median(ratios), quantile(ratios, 0.25),
                 quantile(ratios, 0.75), len(ratios))


def best_third(figure, slices, row):
    """The slices whose median a figure is."""
    ordered = sorted(slices, key=lambda piece: figure.of(piece, row),
                     reverse=figure.more_is_better)
    return ordered[:math.ceil(len(ordered) / 3)]


def limit(slices):
    """Which side was at the end of its core."""
    server = median([piece['server_cpu'] for piece in slices])
    client = median([piece['client_cpu'] for piece in slices])
    if server >= SATURATED:
        return 'both' if client >= SATURATED else 'server'
    return 'client' if client >= SATURATED else 'neither'
