# SPDX-License-Identifier: MIT
"""How results are written down: for the terminal, for the page, as raw data.
"""

from dataclasses import dataclass

from driver import small
from driver.figures import FIGURES, Value
from driver.summary import base_of, entries, verdicts

ABSENT = 'not there: '      # how the reason begins

HEADS = {'rate': 'K/s', 'throughput': 'MB/s', 'cost': 'CPU µs',
         'p50': 'p50 µs', 'p99': 'p99 µs', 'p999': 'p99.9 µs', 'rss': 'RSS B',
         'kernel': 'kernel B'}


def number(x):
    """Three digits that mean something."""
    if abs(x) >= 1000:
        return f'{x:,.0f}'
    if abs(x) >= 100:
        return f'{x:.0f}'
    return f'{x:.1f}' if abs(x) >= 10 else f'{x:.2f}'


def percent(share):
    return f'{share * 100:.0f} %'


def header(row):
    columns = ['server', HEADS[row.figure], 'spread']
    if not row.idle:
        columns += ['ratio', 'middle half']
    columns += [HEADS[name] for name in row.figures[1:]]
    return columns + (['cross-check'] if row.idle else
                      ['server', 'client', 'limit'])


def cells(entry, row):
    """One line of the table. A failure is said in words, over the columns."""
    if entry.failure:
        return [entry.server.name, entry.failure]
    first = entry.values[row.figure]
    line = [entry.server.name, number(first.best), percent(first.spread)]
    if not row.idle:
        line += [f'{entry.ratio.middle:.3f}',
                 f'{entry.ratio.low:.2f}–{entry.ratio.high:.2f}'] \
            if entry.ratio else ['–', '–']
    line += [number(entry.values[name].best) for name in row.figures[1:]]
    if row.idle:
        return line + [number(entry.middles['gone'])]
    return line + [percent(entry.middles['server_cpu']),
                   percent(entry.middles['client_cpu']), entry.limit]


def target_text(target):
    """What is to be reached, in words."""
    figure = FIGURES[target.figure]
    what = {'krait-uring': 'io_uring', 'krait-epoll': 'epoll'}[target.who]
    what = f'{what}: {HEADS[target.figure]}'
    if target.beyond:
        word = 'above' if figure.more_is_better else 'below'
    else:
        word = 'at least' if figure.more_is_better else 'at most'
    if target.of is None:
        return f'{what} {word} {number(target.bound)} {figure.unit}'
    return f'{what} {word} {target.bound:.2f} of {target.text}'


def verdict_text(verdict):
    found = verdict.measured
    if found is None:
        return 'not measured', 'unknown'
    if isinstance(found, Value):
        unit = FIGURES[verdict.target.figure].unit
        return f'{number(found.best)} {unit}', verdict.state
    return (f'{found.middle:.3f} ({found.low:.2f}–{found.high:.2f}), '
            f'{verdict.rival}', verdict.state)


def _pad(lines, left=1):
    """In columns; the first LEFT of them to the left."""
    whole = [line for line in lines if len(line) > 2] or lines
    widths = [max(len(line[i]) for line in whole)
              for i in range(len(whole[0]))]
    widths[0] = max(len(line[0]) for line in lines)
    for line in lines:
        if len(line) < len(widths):
            yield f'{line[0]:<{widths[0]}}  {line[1]}'
            continue
        yield '  '.join(
            f'{cell:<{width}}' if i < left else f'{cell:>{width}}'
            for i, (cell, width) in enumerate(zip(line, widths))).rstrip()


def target_lines(measured):
    yield from _target_lines(measured.row.name, [
        (target_text(one.target), *verdict_text(one))
        for one in verdicts(measured)])


def _target_lines(name, found):
    wide = max((len(text) for text, _, _ in found), default=0)
    for text, numbers, state in found:
        yield f'{name}  {text:<{wide}}  {state}: {numbers}'


def small_terminal(things, targets_only=False):
    if not targets_only:
        yield f'{small.NAME}: {small.TITLE}'
        yield ''
        yield from _pad(list(small.table(things)), left=2)
        yield ''
    yield from _target_lines(small.NAME, list(small.targets(things)))


def _rounds(measured):
    """How the row went, in words."""
    disturbed = measured.disturbed()
    return (f'{measured.rounds()} rounds'
            + ('' if measured.complete else ', interrupted')
            + f'; {percent(disturbed)} of the slices were disturbed'
            + (', so distrust the numbers' if disturbed > 0.5 else ''))


def terminal(measured, base_name=None):
    row = measured.row
    base = base_of(measured, base_name)
    yield f'{row.name}: {row.title}'
    yield (_rounds(measured)
           + (f'; ratios to {base.name}' if base and not row.idle else ''))
    yield ''
    yield from _pad([header(row),
                     *(cells(entry, row) for entry in entries(measured, base))])
    if row.targets:
        yield ''
        yield from target_lines(measured)


def _markdown(lines, left=1):
    """A table, of which LEFT columns are words."""
    first, *rest = lines
    yield '| ' + ' | '.join(first) + ' |'
    yield '|---' * left + '|--:' * (len(first) - left) + '|'
    for line in rest:
        line = [*line, *[''] * (len(first) - len(line))]
        yield '| ' + ' | '.join(line) + ' |'


def _absent(failure):
    return failure is not None and failure.startswith(ABSENT)


def page_row(measured):
    """A row's section of the page."""
    row = measured.row
    base = base_of(measured)
    yield f'### {row.title}'
    yield ''
    yield (f'`bench/run --row {row.name}`; {_rounds(measured)}'
           + (f'; ratios to `{base.name}`.' if base and not row.idle else '.'))
    yield ''
    yield from _markdown([
        header(row), *(cells(entry, row) for entry in entries(measured, base)
                       if not _absent(entry.failure))])
    yield ''


def page_targets(results, things):
    """All targets in one table."""
    lines = [('row', 'to reach', 'measured', '')]
    for measured in results:
        for one in verdicts(measured):
            numbers, state = verdict_text(one)
            lines.append((f'`{measured.row.name}`', target_text(one.target),
                          numbers, _loud(state)))
    lines += [(f'`{small.NAME}`', text, numbers, _loud(state))
              for text, numbers, state in small.targets(things)]
    yield from _markdown(lines, left=4)


def _loud(state):
    return '**missed**' if state == 'missed' else state


def page_servers(results):
    """Who took part, and who did not, and why."""
    seen = {}
    for measured in results:
        for server in measured.servers:
            failure = measured.failures.get(server.name)
            seen[server.name] = (
                f'`{server.name}`', server.group, server.about,
                failure if _absent(failure) else '')
    yield from _markdown([('server', 'is', 'how', ''), *seen.values()], left=4)


@dataclass(frozen=True)
class Circumstances:
    """Of a run, for the page."""
    machine: list       # [(what, text)]
    versions: list      # [(what, version)]
    date: str
    command: str


def page(results, things, around):
    """All that is between the page's markers, as lines."""
    yield f'Made on {around.date} by `{around.command}`.'
    yield ''
    yield from _markdown([('machine', ''), *around.machine], left=2)
    yield ''
    yield 'Versions: ' + ', '.join(f'{name} {version}' for name, version
                                   in around.versions) + '.'
    for title, lines in (('What Krait is to reach', page_targets(results, things)),
                         ('The servers', page_servers(results))):
        yield ''
        yield f'### {title}'
        yield ''
        yield from lines
    yield ''
    for measured in results:
        yield from page_row(measured)
    if things:
        yield f'### {small.TITLE}'
        yield ''
        yield f'`bench/run --row {small.NAME}`.'
        yield ''
        yield from _markdown(list(small.table(things)), left=2)


COLUMNS = ('row', 'server', 'group', 'failure', 'slices', 'limit', 'ratio',
           'ratio_low', 'ratio_high', *FIGURES, 'spread', 'server_cpu',
           'client_cpu', 'gone', 'buffers')


def tsv(results):
    """What the plots are made of: a line for each server in each row."""
    yield '\t'.join(COLUMNS)
    for measured in results:
        for entry in entries(measured, base_of(measured)):
            yield '\t'.join(_tsv_cells(measured, entry))


def _tsv_cells(measured, entry):
    row = measured.row
    known = {'row': row.name, 'server': entry.server.name,
             'group': entry.server.group, 'failure': entry.failure or ''}
    if not entry.failure:
        known.update(
            slices=len(measured.slices[entry.server.name]),
            limit='' if row.idle else entry.limit,
            spread=f'{entry.values[row.figure].spread:.4f}')
        if entry.ratio:
            known.update(ratio=f'{entry.ratio.middle:.4f}',
                         ratio_low=f'{entry.ratio.low:.4f}',
                         ratio_high=f'{entry.ratio.high:.4f}')
        for name, found in entry.values.items():
            known[name] = f'{found.best:.6g}'
        for name in 'server_cpu', 'client_cpu', 'gone', 'buffers':
            if name in entry.middles:
                known[name] = f'{entry.middles[name]:.6g}'
    return [str(known.get(column, '')) for column in COLUMNS]


def raw(results):
    """Every slice, as it was."""
    keys = None
    for measured in results:
        for name, turns in measured.slices.items():
            for turn, piece in sorted(turns.items()):
                if keys is None:
                    keys = list(piece)
                    yield '\t'.join(['row', 'server', 'round', *keys])
                yield '\t'.join([measured.row.name, name, str(turn),
                                 *(f'{piece.get(key, 0):.6g}'
                                   for key in keys)])
