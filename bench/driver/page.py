# SPDX-License-Identifier: MIT
"""docs/benchmarks.md: what is between its markers is written anew, and the
text around them is left as it is."""

import os

from driver import machine, plots, report

BEGIN = '<!-- results: begin; written by bench/run -->'
END = '<!-- results: end -->'


class Broken(Exception):
    pass


def spliced(text, lines):
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Broken('the page has lost its markers')
    body = '\n'.join(lines).strip()
    return f'{before}{BEGIN}\n\n{body}\n\n{END}{after}'


def write(docs, results, facts, versions, command):
    """The page, its raw data and its plots. Raises NoPlots last."""
    page = os.path.join(docs, 'benchmarks.md')
    folder = os.path.join(docs, 'benchmarks')
    with open(page, encoding='utf-8') as file:
        text = file.read()
    lines = report.page(results, facts, versions, machine.today(), command)
    text = spliced(text, lines)
    os.makedirs(folder, exist_ok=True)
    table = os.path.join(folder, 'results.tsv')
    _write(table, ''.join(f'{line}\n' for line in report.tsv(results)))
    _write(page, text)
    plots.draw(table, folder)


def _write(path, text):
    """Whole or not at all."""
    with open(f'{path}.new', 'w', encoding='utf-8') as file:
        file.write(text)
    os.replace(f'{path}.new', path)
