# SPDX-License-Identifier: MIT
"""What the echo servers in Python share: their command line, the listening
socket, and the work that a request costs."""

import argparse
import os
import resource
import signal
import socket
import time

BACKLOG = 4096


def options(extra=None):
    """The command line; EXTRA(parser) adds what one server has of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, default=0)
    parser.add_argument('--work', type=int, default=0, metavar='NS')
    parser.add_argument('--buffer', type=int, default=1024, metavar='BYTES')
    parser.add_argument('--sink', action='store_true')
    if extra:
        extra(parser)
    return parser.parse_args()


def listen(port):
    """A socket that listens; what it accepts inherits TCP_NODELAY."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(('127.0.0.1', port))
    listener.listen(BACKLOG)
    return listener


def announce(listener):
    print('port', listener.getsockname()[1], flush=True)


def end(*_):
    os._exit(0)


def end_on_signal():
    signal.signal(signal.SIGTERM, end)


def spend(ns, clock=time.monotonic_ns):
    """So many nanoseconds of CPU."""
    until = clock() + ns
    while clock() < until:
        pass
