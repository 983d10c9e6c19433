#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The echo server with asyncio on uvloop: a Protocol for each connection, but
for --sink a BufferedProtocol.

Tried: a BufferedProtocol, asyncio's best, is up to a tenth slower here where it
echoes, and a quarter faster where it only receives.
"""

import asyncio

import uvloop

from echo_asyncio import BufferedEcho, Echo, main
from echo_support import spend


class PlainEcho(Echo, asyncio.Protocol):
    """Is given bytes, which may be kept. uvloop receives them into a buffer
    that all connections share; how large it is cannot be said."""

    def data_received(self, data):
        if self.work:
            spend(self.work)
        self.write(data)


if __name__ == '__main__':
    uvloop.install()
    main(lambda chosen: BufferedEcho if chosen.sink else PlainEcho)
