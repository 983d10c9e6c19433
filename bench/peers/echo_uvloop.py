#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The echo server with asyncio's Protocol on uvloop's loop."""
import uvloop
import echo_asyncio

if __name__ == '__main__':
    uvloop.install()
    echo_asyncio.main()
