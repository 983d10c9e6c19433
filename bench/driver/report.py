# SPDX-License-Identifier: MIT
"""How results are written down: for the terminal, for the page, as raw data.
"""

from driver.figures import FIGURES, Value
from driver.summary import base_of, entries, verdicts

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
    columns = ['server', HEADS[row.figure], 'spread', 'ratio', 'middle half']
    columns += [HEADS[name] for name in row.figures[1:]]
    if not row.idle:
        columns += ['server', 'client', 'limit']
    return columns


def cells(entry, row):
    """One line of the table. A failure is said in words, over the columns."""
    if entry.failure:
        return [entry.server.name, entry.failure]
    first = entry.values[row.figure]
    line = [entry.server.name, number(first.best), percent(first.spread)]
    if entry.ratio:
        line += [f'{entry.ratio.middle:.3f}',
                 f'{entry.ratio.low:.2f}–{entry.ratio.high:.2f}']
    else:
        line += ['–', '–']
    line += [number(entry.values[name].best) for name in row.figures[1:]]
    if not row.idle:
        line += [percent(entry.means['server_cpu']),
                 percent(entry.means['client_cpu']), entry.limit]
    return line


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
    found = [(target_text(one.target), *verdict_text(one))
             for one in verdicts(measured)]
    wide = max((len(text) for text, _, _ in found), default=0)
    for text, numbers, state in found:
        yield f'{measured.row.name}  {text:<{wide}}  {state}: {numbers}'


def terminal(measured, base_name=None):
    row = measured.row
    base = base_of(measured, base_name)
    rounds = max((len(turns) for turns in measured.slices.values()),
                 default=0)
    yield f'{row.name}: {row.title}'
    yield (f'{rounds} rounds' + ('' if measured.complete else ', interrupted')
           + (f'; ratios to {base.name}' if base else ''))
    yield ''
    yield from _pad([header(row),
                     *(cells(entry, row) for entry in entries(measured, base))])
    if row.targets:
        yield ''
        yield from target_lines(measured)


def _markdown(lines):
    first, *rest = lines
    yield '| ' + ' | '.join(first) + ' |'
    yield '|---' + '|--:' * (len(first) - 1) + '|'
    for line in rest:
        line = [*line, *[''] * (len(first) - len(line))]
        yield '| ' + ' | '.join(line) + ' |'


def page_row(measured):
    """A row's section of the page."""
    row = measured.row
    base = base_of(measured)
    yield f'### {row.title}'
    yield ''
    if base:
        yield f'`bench/run --row {row.name}`; ratios to `{base.name}`.'
    else:
        yield f'`bench/run --row {row.name}`.'
    yield ''
    yield from _markdown([header(row), *(cells(entry, row) for entry
                                         in entries(measured, base))])
    yield ''


def page_targets(results):
    """All targets in one table."""
    lines = [('row', 'to reach', 'measured', '')]
    for measured in results:
        for one in verdicts(measured):
            numbers, state = verdict_text(one)
            if state == 'missed':
                state = '**missed**'
            lines.append((f'`{measured.row.name}`', target_text(one.target),
                          numbers, state))
    yield from _markdown(lines)


def page(results, facts, versions, date, command):
    """All that is between the page's markers, as lines."""
    yield f'Made on {date} by `{command}`.'
    yield ''
    yield from _markdown([('machine', ''), *facts])
    yield ''
    yield 'Versions: ' + ', '.join(f'{name} {version}' for name, version
                                   in versions) + '.'
    yield ''
    yield '### What Krait is to reach'
    yield ''
    yield from page_targets(results)
    yield ''
    for measured in results:
        yield from page_row(measured)


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
            if name in entry.means:
                known[name] = f'{entry.means[name]:.6g}'
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
