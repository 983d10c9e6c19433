#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The echo server with gevent: StreamServer, a greenlet for each connection.

Tried: plain recv and sendall, or recv_into and sendall, have seven tenths of
the speed. gevent's other loop, libuv's, is not in Debian's package.
"""

import signal

import gevent
from gevent.event import Event
from gevent.server import StreamServer
from gevent.socket import socket

from echo_support import announce, listen, options, spend


def handler(chosen):
    work, sink, size = chosen.work, chosen.sink, chosen.buffer
    hub = gevent.get_hub()

    def serve(connection, _address):
        buffer = memoryview(bytearray(size))
        receive, send = connection.recv_into, connection.send
        # It waits before it receives: the other way round, each receive would
        # fail first, as it does in gevent's own recv.
        wait, arrival = hub.wait, hub.loop.io(connection.fileno(), 1)
        try:
            while True:
                wait(arrival)
                n = receive(buffer)
                if n == 0:
                    return
                if sink:
                    continue
                if work:
                    spend(work)
                sent = send(buffer[:n])
                if sent < n:
                    connection.sendall(buffer[sent:n])
        except OSError:
            pass
        finally:
            arrival.close()
    return serve


def main():
    chosen = options()
    ended = Event()
    gevent.signal_handler(signal.SIGTERM, ended.set)
    listener = socket(fileno=listen(chosen.port).detach())
    server = StreamServer(listener, handler(chosen))
    server.start()
    announce(listener)
    ended.wait()


if __name__ == '__main__':
    main()
