# SPDX-License-Identifier: MIT
"""The page's pictures, drawn by gnuplot of docs/benchmarks/results.tsv."""

import csv
import os
import shutil
import subprocess

from driver.figures import FIGURES
from driver.scenarios import ROWS

INTERESTING = ('krait-uring', 'krait-epoll', 'libev', 'libevent', 'libuv',
               'st', 'go', 'threads', 'asyncio')
COLOURS = ('#b3202c', '#e8747c', '#1f4e79', '#2e75b6', '#6fa8dc', '#a8c8e8',
           '#5b8c5a', '#9a9a9a', '#d0c080')
LATENCY_ROW = 'echo-1000'

COMMON = '''
set terminal svg size {width},{height} font 'sans,13' background '#ffffff'
set output '{output}'
set encoding utf8
set border 3 linecolor '#606060'
set grid ytics linecolor '#d8d8d8' linetype 1
set tics nomirror scale 0.5
set xtics scale 0
set style fill solid 1.0 noborder
set key outside top center horizontal Left reverse
set rmargin 10
'''


class NoPlots(Exception):
    pass


def read(path):
    """[{column: text}]; the numbers are left to whoever wants them."""
    with open(path, encoding='utf-8', newline='') as file:
        lines = (line for line in file if not line.startswith('#'))
        return [line for line in csv.DictReader(lines, delimiter='\t')
                if not line['failure']]


def _block(name, lines):
    """Data within a script of gnuplot's. Names are quoted, since they may
    hold blanks; '-' is for what is not there."""
    return [f'${name} << EOD', *('\t'.join(f'"{cell}"' if i == 0 else cell
                                           for i, cell in enumerate(line))
                                 for line in lines), 'EOD']


def ratios(lines):
    """How fast each is against the best hand-written server; costs are
    turned over, so that up is always better."""
    rows = {row.name: FIGURES[row.figure] for row in ROWS if not row.idle}
    found = {}
    for line in lines:
        if line['row'] in rows and line['ratio']:
            ratio = float(line['ratio'])
            if ratio > 0:
                better = rows[line['row']].more_is_better
                found[line['row'], line['server']] = \
                    ratio if better else 1 / ratio
    names = [name for name in rows if any(key[0] == name for key in found)]
    servers = [name for name in INTERESTING
               if any(key[1] == name for key in found)]
    if not found or not servers:
        return None
    script = _block('ratios', [
        [name, *(f'{found[name, server]:.4f}' if (name, server) in found
                 else 'NaN' for server in servers)] for name in names])
    script += [
        'set title "Speed, relative to the best hand-written server"',
        'set style data histograms',
        'set style histogram clustered gap 1.5',
        'set boxwidth 0.95',
        'set yrange [0:*]',
        'set xtics rotate by -25',
        f'set arrow from -0.6,1 to {len(names) - 0.4},1 nohead '
        'linecolor "#303030" dashtype 2 front',
        'plot ' + ', '.join(
            f'$ratios using {i + 2}:xtic(1) title "{server}" '
            f'linecolor "{COLOURS[INTERESTING.index(server)]}"'
            for i, server in enumerate(servers))]
    return script


def latency(lines):
    chosen = sorted((line for line in lines if line['row'] == LATENCY_ROW),
                    key=lambda line: float(line['p99']))
    if not chosen:
        return None
    script = _block('latency', [
        [line['server'], *(f'{float(line[key]) / 1e3:.4f}'
                           for key in ('p50', 'p99', 'p999'))]
        for line in chosen])
    script += [
        'set title "Latency at 1,000 connections, ms"',
        'set style data histograms',
        'set style histogram clustered gap 1',
        'set boxwidth 0.9',
        'set logscale y',
        'set xtics rotate by -25',
        'plot $latency using 2:xtic(1) title "p50" linecolor "#6fa8dc", '
        '$latency using 3 title "p99" linecolor "#1f4e79", '
        '$latency using 4 title "p99.9" linecolor "#b3202c"']
    return script


def memory(lines):
    chosen = sorted((line for line in lines if line['rss']),
                    key=lambda line: float(line['rss']))
    if not chosen:
        return None
    script = _block('memory', [
        [line['server'], f'{max(0, float(line["rss"])) / 1024:.4f}',
         f'{max(0, float(line["kernel"])) / 1024:.4f}'] for line in chosen])
    script += [
        'set title "Memory of an idle connection, KiB"',
        'set style data histograms',
        'set style histogram rowstacked',
        'set boxwidth 0.7',
        'set yrange [0:*]',
        'set xtics rotate by -25',
        'plot $memory using 2:xtic(1) title "the server (RSS)" '
        'linecolor "#b3202c", '
        '$memory using 3 title "the kernel, both ends" linecolor "#a8c8e8"']
    return script


PLOTS = {'ratios': (ratios, 1300, 520), 'latency': (latency, 900, 440),
         'memory': (memory, 900, 440)}


def draw(table, folder):
    """Writes FOLDER/*.svg of TABLE; returns the names."""
    if not shutil.which('gnuplot'):
        raise NoPlots('there is no gnuplot here')
    lines = read(table)
    drawn = []
    for name, (script_of, width, height) in PLOTS.items():
        script = script_of(lines)
        if not script:
            continue
        # Within the folder, so that no path gets into the picture.
        head = COMMON.format(width=width, height=height, output=f'{name}.svg')
        done = subprocess.run(['gnuplot'], input='\n'.join([head, *script]),
                              text=True, check=False, timeout=60, cwd=folder,
                              stderr=subprocess.PIPE)
        if done.returncode:
            raise NoPlots(f'gnuplot: {done.stderr.strip()}')
        drawn.append(name)
    return drawn
