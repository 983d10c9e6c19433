# SPDX-License-Identifier: MIT
"""The rows of the table, and what Krait is to reach in them.

A row says what the load generator does and what the servers are told. A target
compares one of Krait's engines with the best of some other servers, or with
a fixed number.
"""

from dataclasses import dataclass, field

URING = 'krait-uring'
EPOLL = 'krait-epoll'


@dataclass(frozen=True)
class Target:
    """`who`'s figure is to be at least (or at most) `bound` times that of the
    best of `of`; or `bound` itself, where `of` is None. Those of `of` are
    names of servers, or words that hold for them (programs.py)."""
    who: str
    figure: str
    bound: float
    of: tuple = None
    beyond: bool = False    # the bound itself is not enough
    text: str = ''          # how the page calls `of`


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    connections: int = 64
    active: int = 0         # 0: all of them
    size: int = 64
    mode: str = 'echo'
    work: int = 0           # ns
    buffer: int = 1024
    sink: bool = False
    spin: bool = False
    figures: tuple = ('rate', 'p50', 'p99', 'cost')
    slice: float = 0.3      # s: for ten requests of a connection, mostly
    rounds: int = 20
    quick: bool = False
    idle: bool = False      # memory of idle connections: no rotation
    only: tuple = ()        # the servers that it makes sense for; (): all
    targets: tuple = field(default=())

    @property
    def figure(self):
        """What the row is about."""
        return self.figures[0]

    def server_options(self):
        options = ['--buffer', str(self.buffer)]
        if self.work:
            options += ['--work', str(self.work)]
        if self.sink:
            options += ['--sink']
        return options

    def load_options(self):
        options = ['--connections', str(self.connections), '--size',
                   str(self.size), '--mode', self.mode]
        if self.active:
            options += ['--active', str(self.active)]
        if self.spin:
            options += ['--spin']
        return options


BEST = ('reference',)
AHEAD_OF = ('libevent', 'libuv', 'st', 'go')
AHEAD_TEXT = 'libevent, libuv, State Threads and Go'


def echo_targets(share):
    return (
        Target(URING, 'rate', share, BEST, text='the best hand-written'),
        Target(EPOLL, 'rate', 0.95, ('reference epoll',),
               text='hand-written epoll'),
        Target(URING, 'rate', 0.97, ('libev',), text='libev'),
        Target(URING, 'rate', 1.0, AHEAD_OF, beyond=True, text=AHEAD_TEXT),
    )


def echo_rows():
    for connections in 1, 64, 1000, 9000:
        for work in 0, 3000:
            many = connections == 1000
            targets = echo_targets(0.90 if many else 0.95)
            if many:
                targets += Target(URING, 'p99', 1.0, ('peer',),
                                  text='the best peer'),
            if connections == 1 and not work:
                targets += Target(URING, 'p50', 0.80, ('peer',),
                                  text='every peer'),
            yield Row(
                name=f'echo-{connections}' + ('-work' if work else ''),
                title=f'Echo, 64 B, {connections:,} connection'
                      f'{"s" if connections > 1 else ""}'
                      f'{", 3 µs of work" if work else ""}',
                connections=connections, work=work, targets=targets,
                slice=1.2 if connections == 9000 else 0.3,
                quick=not work and connections in (1, 64, 1000))


def hand_written_at_least(share, figure):
    """With code that reads into its user's buffer, as Krait's handler does;
    a reference whose bytes stay in a ring's buffers does less."""
    return (
        Target(URING, figure, share, ('reference in-place',),
               text='the best hand-written'),
        Target(EPOLL, figure, share, ('reference epoll',),
               text='hand-written epoll'),
    )


ROWS = (
    *echo_rows(),
    Row('latency-spin', 'Echo, 64 B, 1 connection, the client spins',
        connections=1, spin=True, figures=('p50', 'p99', 'rate', 'cost'),
        targets=(Target(URING, 'p50', 0.80, ('peer',), text='every peer'),)),
    Row('cpu', 'Server CPU for each request: 800 connections, 64 active, '
        '3 µs of work subtracted',
        connections=800, active=64, work=3000,
        figures=('cost', 'rate', 'p50', 'p99'),
        targets=(
            Target(URING, 'cost', 1.12, BEST, text='the best hand-written'),
            Target(EPOLL, 'cost', 1.05, ('reference epoll',),
                   text='hand-written epoll'))),
    Row('echo-16k', 'Echo, 16 KiB, 64 connections', size=16384, buffer=16384,
        figures=('rate', 'throughput', 'p50', 'p99', 'cost'),
        targets=hand_written_at_least(0.95, 'rate')),
    Row('stream', 'One-way stream, 64 KiB writes, 1 connection',
        connections=1, size=65536, buffer=65536, mode='stream', sink=True,
        figures=('throughput', 'cost'),
        targets=hand_written_at_least(0.95, 'throughput')),
    Row('connect', 'Connect, 64 B, reply, close: server CPU for each',
        mode='connect', figures=('cost', 'rate', 'p50', 'p99'),
        targets=(Target(URING, 'cost', 1.10, ('reference uring',),
                        text='a hand-written io_uring accept loop'),)),
    Row('idle', 'Memory of an idle connection, 9,000 of them parked in recv',
        connections=9000, figures=('rss', 'kernel'), idle=True, rounds=3,
        slice=1.0,
        targets=(
            Target(URING, 'rss', 4.3 * 1024),
            Target(EPOLL, 'rss', 4.3 * 1024),
            Target(URING, 'kernel', 1.20, ('reference epoll',),
                   text='hand-written epoll'),
            Target(EPOLL, 'kernel', 1.20, ('reference epoll',),
                   text='hand-written epoll'))),
)
