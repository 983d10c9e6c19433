#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The echo server with asyncio: a BufferedProtocol for each connection.

Tried: a Protocol has a third of the speed; to send without a copy is no faster.
"""

import asyncio
import signal

from echo_support import BACKLOG, announce, listen, options, spend


class Echo(asyncio.BaseProtocol):
    """While the transport holds much that the peer doesn't take, nothing is
    received."""

    chosen = None       # the command line

    def connection_made(self, transport):
        self.transport = transport
        self.write = transport.write
        self.work = self.chosen.work
        self.sink = self.chosen.sink

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class BufferedEcho(Echo, asyncio.BufferedProtocol):
    """Receives into a buffer of its own. A Protocol is given new bytes, for
    which asyncio allocates 256 KiB each time."""

    def connection_made(self, transport):
        super().connection_made(transport)
        self.buffer = memoryview(bytearray(self.chosen.buffer))

    def get_buffer(self, _hint):
        return self.buffer

    def buffer_updated(self, n):
        if self.sink:
            return
        if self.work:
            spend(self.work)
        # A copy, since the transport may keep what it is given.
        self.write(bytes(self.buffer[:n]))


async def serve(protocol):
    loop = asyncio.get_running_loop()
    listener = listen(Echo.chosen.port)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await loop.create_server(protocol, sock=listener, backlog=BACKLOG)
    announce(listener)
    await ended.wait()


def main(protocol_for):
    """PROTOCOL_FOR(the command line) is the class to serve with."""
    Echo.chosen = options()
    asyncio.run(serve(protocol_for(Echo.chosen)))


if __name__ == '__main__':
    main(lambda _chosen: BufferedEcho)
