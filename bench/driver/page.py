# SPDX-License-Identifier: MIT
"""docs/benchmarks.md: what is between its markers is written anew, and the
text around them is left as it is."""

import os

from driver import plots, report

RESULTS = ('<!-- results: begin; written by bench/run -->',
           '<!-- results: end -->')
PROFILE = ('<!-- profile: begin; written by bench/profile -->',
           '<!-- profile: end -->')


class Broken(Exception):
    pass


def spliced(text, markers, lines):
    before, begin, rest = text.partition(markers[0])
    _, end, after = rest.partition(markers[1])
    if not begin or not end:
        raise Broken(f'the page has lost its markers: {markers[0]}')
    body = '\n'.join(lines).strip()
    return f'{before}{begin}\n\n{body}\n\n{end}{after}'


def put(docs, markers, lines):
    """LINES between the page's markers."""
    name = os.path.join(docs, 'benchmarks.md')
    with open(name, encoding='utf-8') as file:
        text = file.read()
    _write(name, spliced(text, markers, lines))


def write(docs, results, things, around):
    """The page, its raw data and its plots. Raises NoPlots last."""
    put(docs, RESULTS, report.page(results, things, around))
    folder = os.path.join(docs, 'benchmarks')
    os.makedirs(folder, exist_ok=True)
    table = os.path.join(folder, 'results.tsv')
    _write(table, ''.join(f'{line}\n' for line in report.tsv(results)))
    plots.draw(table, folder)


def _write(path, text):
    """Whole or not at all."""
    with open(f'{path}.new', 'w', encoding='utf-8') as file:
        file.write(text)
    os.replace(f'{path}.new', path)
