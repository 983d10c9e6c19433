#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The echo server with asyncio on uvloop: a Protocol for each connection."""

import asyncio

import uvloop

from echo_asyncio import Echo, main
from echo_support import spend


class PlainEcho(Echo, asyncio.Protocol):
    """Is given bytes, which may be kept. uvloop receives them into a buffer
    that all connections share; how large it is cannot be said."""

    def data_received(self, data):
        if self.sink:
            return
        if self.work:
            spend(self.work)
        self.write(data)


if __name__ == '__main__':
    uvloop.install()
    main(PlainEcho)
