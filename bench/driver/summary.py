# SPDX-License-Identifier: MIT
"""From a row's slices to its table: each server's figures, its ratio to the
best hand-written server, and whether Krait's targets are reached."""

from dataclasses import dataclass

from driver.figures import (
    FIGURES, best_third, calm, limit, median, ratio, value)


@dataclass(frozen=True)
class Entry:
    """A line of the table."""
    server: object
    failure: str        # in place of all that follows, or None
    values: dict        # figure's name: Value
    limit: str
    ratio: object       # to the best hand-written one; or None
    middles: dict       # the medians of whatever else the best third tell


@dataclass(frozen=True)
class Verdict:
    target: object
    rival: str          # whom it was compared with, or ''
    measured: object    # a Ratio or a Value; None: there is nothing to judge
    state: str          # reached or missed, if barely so; or unknown


def champion(measured, servers, figure):
    """Which of them has the best figure, by its best slices."""
    found = None
    for server in servers:
        slices = calm(measured.slices[server.name]).values()
        this = value(figure, slices, measured.row).best
        if found is None or figure.is_better(this, found[0]):
            found = this, server
    return found[1] if found else None


def matching(measured, selectors):
    return [server for server in measured.good()
            if any(server.matches(selector) for selector in selectors)]


def base_of(measured, wanted=None):
    """Whom all are compared with: the best hand-written server, or whoever
    was asked for."""
    if wanted:
        candidates = [one for one in measured.good() if one.name == wanted]
    else:
        candidates = matching(measured, ('reference',))
    return champion(measured, candidates, FIGURES[measured.row.figure])


def entries(measured, base):
    row = measured.row
    figure = FIGURES[row.figure]
    for server in measured.servers:
        failure = measured.failures.get(server.name)
        turns = measured.slices.get(server.name)
        if failure or not turns:
            yield Entry(server, failure or 'not measured', {}, '', None, {})
            continue
        pieces = list(calm(turns).values())
        values = {name: value(known, pieces, row)
                  for name, known in FIGURES.items()
                  if known.needs in pieces[0]}
        against = base and ratio(figure, turns, measured.slices[base.name],
                                 row)
        best = pieces if row.idle else best_third(figure, pieces, row)
        middles = {key: median([piece[key] for piece in best])
                   for key in best[0]}
        yield Entry(server, None, values, limit(best), against, middles)


def _holds(number, target, figure):
    if figure.more_is_better:
        return number > target.bound if target.beyond else \
            number >= target.bound
    return number < target.bound if target.beyond else number <= target.bound


def _state(target, figure, middle, noise):
    """In words. What the noise may have decided is said to be so."""
    states = {_holds(middle + way * noise, target, figure)
              for way in (-1, 0, 1)}
    state = 'reached' if _holds(middle, target, figure) else 'missed'
    return state if len(states) == 1 else f'{state} (barely)'


def verdict(measured, target):
    figure = FIGURES[target.figure]
    row = measured.row
    ours = measured.slices.get(target.who)
    if target.who in measured.failures or not ours:
        return Verdict(target, '', None, 'unknown')
    if target.of is None:
        this = value(figure, calm(ours).values(), row)
        return Verdict(target, '', this,
                       _state(target, figure, this.best, this.noise))
    rivals = [server for server in matching(measured, target.of)
              if server.name != target.who]
    rival = champion(measured, rivals, figure)
    against = rival and ratio(figure, ours, measured.slices[rival.name], row)
    if not against:
        return Verdict(target, '', None, 'unknown')
    return Verdict(target, rival.name, against,
                   _state(target, figure, against.middle, against.noise))


def verdicts(measured):
    return [verdict(measured, target) for target in measured.row.targets]
