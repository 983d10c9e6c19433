#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The echo server with Python's socket and threading: a thread for each
connection.

Tried, and no faster: recv in place of recv_into, socketserver's
ThreadingTCPServer, a shorter switch interval.
"""

import threading

from echo_support import announce, end_on_signal, listen, options, spend

STACK_SIZE = 65536


def serve(connection, chosen):
    work, sink = chosen.work, chosen.sink
    buffer = memoryview(bytearray(chosen.buffer))
    receive, send = connection.recv_into, connection.sendall
    try:
        with connection:
            while n := receive(buffer):
                if sink:
                    continue
                if work:
                    spend(work)
                send(buffer[:n])
    except OSError:
        pass


def main():
    chosen = options()
    end_on_signal()
    threading.stack_size(STACK_SIZE)
    listener = listen(chosen.port)
    announce(listener)
    while True:
        try:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, chosen),
                             daemon=True).start()
        except (OSError, RuntimeError):
            pass


if __name__ == '__main__':
    main()
