# SPDX-License-Identifier: MIT
"""The servers: how each is started, and why one is not there."""

import fnmatch
import os
import shlex
import subprocess
from dataclasses import dataclass, field

PYTHON = '/usr/bin/python3'     # the one that Debian's modules are for


class NoSuchServer(Exception):
    pass


@dataclass(frozen=True)
class Server:
    name: str
    group: str              # krait, reference or peer
    program: str            # in the build directory, or a script of peers/
    arguments: tuple = ()
    environment: dict = field(default_factory=dict)
    traits: tuple = ()      # words that a target may select by
    package: str = ''       # Debian's, for the table of versions
    module: str = ''        # of Python's: what the script imports
    about: str = ''

    def matches(self, selector):
        """Whether all its words hold: a name, the group, or traits."""
        words = {self.name, self.group, *self.traits}
        return all(word in words for word in selector.split())


def _krait(engine):
    return Server(f'krait-{engine}', 'krait', 'krait_echo',
                  environment={'KRAIT_ENGINE': engine}, traits=(engine,),
                  about='recv and sendall in a fiber')


def _reference(name, engine, *arguments, traits=(), about=''):
    return Server(name, 'reference', f'reference_{engine}', arguments,
                  traits=(engine, *traits), about=about)


def _peer(name, package, about):
    return Server(name, 'peer', f'peer_{name}', package=package, about=about)


def _script(name, package, module, about):
    return Server(name, 'peer', f'echo_{name.replace("-", "_")}.py',
                  package=package, module=module, about=about)


SERVERS = (
    _krait('uring'),
    _krait('epoll'),
    _reference('epoll', 'epoll', traits=('in-place',),
               about='edge-triggered, one loop'),
    _reference('uring', 'uring', traits=('in-place',),
               about='one-shot receives'),
    _reference('uring-multishot', 'uring', '--multishot',
               about='multishot receives into a buffer ring'),
    _peer('libev', 'libev-dev', 'ev_io watchers'),
    _peer('libevent', 'libevent-dev', 'edge-triggered events'),
    _peer('libuv', 'libuv1-dev', 'uv_read_start, uv_try_write'),
    _peer('st', 'libst-dev', 'State Threads'),
    _peer('go', 'golang-go', 'a goroutine for each connection'),
    _peer('threads', '', 'a C thread for each connection'),
    _script('python-threads', 'python3', '', 'a Python thread for each'),
    _script('asyncio', 'python3', '', 'a BufferedProtocol'),
    _script('uvloop', 'python3-uvloop', 'uvloop', 'a Protocol'),
    _script('gevent', 'python3-gevent', 'gevent', 'a greenlet for each'),
)


class Programs:
    """Where the programs are, and which servers are asked for."""

    def __init__(self, source, build):
        self.source = source    # bench/
        self.build = build      # build/bench/
        self._modules = {}

    @property
    def load(self):
        return os.path.join(self.build, 'load')

    def path(self, server):
        if os.path.isabs(server.program):
            return server.program
        if server.program.endswith('.py'):
            return os.path.join(self.source, 'peers', server.program)
        return os.path.join(self.build, server.program)

    def command(self, server):
        script = [PYTHON] if server.program.endswith('.py') else []
        return [*script, self.path(server), *server.arguments]

    def why_absent(self, server):
        """None if it is there."""
        path = self.path(server)
        if not os.path.exists(path):
            return f'{os.path.basename(path)} was not built'
        if server.module and not self._has_module(server.module):
            return f'Python has no module {server.module}'
        return None

    def _has_module(self, module):
        if module not in self._modules:
            self._modules[module] = subprocess.run(
                [PYTHON, '-c', f'import {module}'], check=False, timeout=30,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL).returncode == 0
        return self._modules[module]


def select(names, extra=()):
    """Those that the patterns name, in the registry's order, and EXTRA."""
    if not names:
        return [*SERVERS, *extra]
    for pattern in names:
        if not fnmatch.filter([server.name for server in SERVERS], pattern):
            raise NoSuchServer(pattern)
    return [server for server in SERVERS
            if any(fnmatch.fnmatch(server.name, pattern)
                   for pattern in names)] + list(extra)


def parse_extra(text):
    """LABEL:[VARIABLE=VALUE]... PROGRAM [ARGUMENT]...: a server that the
    registry doesn't know, such as the same one from another build."""
    label, colon, command = text.partition(':')
    words = shlex.split(command)
    environment = {}
    while words and '=' in words[0] and '/' not in words[0].split('=')[0]:
        name, _, setting = words.pop(0).partition('=')
        environment[name] = setting
    if not (colon and label and words):
        raise ValueError(f'not LABEL:[VARIABLE=VALUE]... PROGRAM ...: {text}')
    return Server(label, 'extra', os.path.abspath(words[0]), tuple(words[1:]),
                  environment)
