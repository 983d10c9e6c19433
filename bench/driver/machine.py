# SPDX-License-Identifier: MIT
"""What the numbers were made on, and with: the kind of machine, not its name.
"""

import datetime
import os
import platform
import re
import subprocess

from driver.processes import siblings
from driver.programs import PYTHON


def _said(*command):
    """The first line that a command prints, or ''."""
    try:
        done = subprocess.run(command, check=False, timeout=30, text=True,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return done.stdout.strip().partition('\n')[0] if not done.returncode \
        else ''


def _first_of(path, key):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            for line in file:
                name, _, text = line.partition(':')
                if name.strip() == key:
                    return text.strip()
    except OSError:
        pass
    return ''


def _processor():
    name = _first_of('/proc/cpuinfo', 'model name') or platform.machine()
    virtual = 'hypervisor' in _first_of('/proc/cpuinfo', 'flags').split()
    return name + (' (a virtual machine)' if virtual else '')


def _pinning(cores):
    if not cores:
        return 'none: there is one core, and both sides share it'
    text = f'server on core {cores[0]}, load generator on core {cores[1]}'
    if cores[1] in siblings(cores[0]):
        text += ', which are two threads of one core'
    return text


def _mitigations():
    folder = '/sys/devices/system/cpu/vulnerabilities'
    found = []
    try:
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding='ascii') as file:
                text = file.read().strip()
            if text.startswith('Mitigation: '):
                found.append(f'{name}: {text.partition(": ")[2]}')
            elif text != 'Not affected':
                found.append(f'{name}: {text}')
    except OSError:
        return 'unknown'
    return '; '.join(found) or 'none needed'


def _memory():
    size = _first_of('/proc/meminfo', 'MemTotal').split()
    return f'{int(size[0]) / 2**20:.1f} GiB' if size else 'unknown'


def describe(cores):
    """[(what, text)]"""
    return [
        ('processor', _processor()),
        ('cores', str(os.cpu_count())),
        ('pinning', _pinning(cores)),
        ('memory', _memory()),
        ('kernel', f'{platform.system()} {platform.release()}'),
        ('mitigations', _mitigations()),
    ]


def _krait_version(source):
    header = os.path.join(source, '..', 'include', 'krait', 'version.h')
    with open(header, encoding='utf-8') as file:
        parts = dict(re.findall(r'KRAIT_VERSION_(\w+)\s+(\d+)', file.read()))
    text = '.'.join(parts[part] for part in ('MAJOR', 'MINOR', 'PATCH'))
    commit = _said('git', '-C', source, 'describe', '--always', '--dirty',
                   '--exclude', '*')
    return f'{text} (commit {commit})' if commit else text


def _package(name):
    """The version of Debian's package; what precedes its own revision."""
    version = _said('dpkg-query', '-W', '-f', '${Version}', name)
    return re.sub(r'^\d+:|[-+~][^-]*$', '', version)


def versions(source, servers):
    """[(what, version)] of what was measured and what built it."""
    found = [('Krait', _krait_version(source)),
             ('gcc', _said('gcc', '-dumpfullversion')),
             ('glibc', _said('getconf', 'GNU_LIBC_VERSION')
              .removeprefix('glibc ')),
             ('liburing', _said('pkg-config', '--modversion', 'liburing'))]
    for server in servers:
        if server.package == 'golang-go':
            found.append(('go', _said('go', 'env', 'GOVERSION')
                          .removeprefix('go')))
        elif server.package == 'python3':
            found.append(('Python', _said(PYTHON, '--version')
                          .removeprefix('Python ')))
        elif server.package:
            found.append((server.name, _package(server.package)))
    return [pair for pair in dict(found).items() if pair[1]]


def today():
    return datetime.date.today().isoformat()
