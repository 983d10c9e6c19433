# SPDX-License-Identifier: MIT
"""examples/socketserver.c, which is the program of the documentation to the
letter, port 8001 included: in a network namespace of its own, where nobody
else can have that port. Where there can be none (a container may forbid it),
in this one, if the port is free."""

import errno
import fcntl
import os
import shutil
import socket
import struct
import sys
import time

from peers_support import ANSWER, PATIENCE, PROMPT, PeerTest, example, main, \
    stock

ADDRESS = ("127.0.0.1", 8001)
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # <linux/sockios.h>


def into_a_namespace():
    """Starts this script again in a namespace; returns where it can't."""
    unshare = shutil.which("unshare")
    if unshare and os.spawnvp(os.P_WAIT, unshare, [
            unshare, "--map-root-user", "--net", "--", "true"]) == 0:
        os.execv(unshare, [unshare, "--map-root-user", "--net", "--",
                           sys.executable, os.path.abspath(__file__),
                           "--inside"])


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sH14x", b"lo", 0)
        name, flags = struct.unpack("16sH14x",
                                    fcntl.ioctl(s, SIOCGIFFLAGS, request))
        fcntl.ioctl(s, SIOCSIFFLAGS,
                    struct.pack("16sH14x", name, flags | IFF_UP))


def port_is_free():
    with socket.socket() as s:
        try:
            s.bind(ADDRESS)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


class SocketServer(PeerTest):
    def connect(self):
        """Tries until it listens: it prints nothing when it does."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(ADDRESS, PATIENCE)
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.005)

    def test_many_stock_clients_talk_to_it(self):
        server = self.program(example("socketserver"))
        first = self.connect()
        status, out, err = self.run_client(stock("client.py"), b"a\nb\n")
        self.assertEqual((status, out, err),
                         (0, (PROMPT + ANSWER + b"\n") * 2 + PROMPT, b""))
        status, out, err = self.run_client(example("client"), b"a\n")
        self.assertEqual((status, out, err),
                         (0, PROMPT + ANSWER + b"\n" + PROMPT, b""))
        first.sendall(b"still here")  # while others came and went
        self.assertEqual(first.recv(1024), ANSWER)
        first.close()

        second = self.program(example("socketserver"))
        self.assertEqual(second.finish(), 1)
        self.assertIn(b"server: bind 127.0.0.1:8001: Address already in use",
                      second.err)
        self.assertIsNone(server.process.poll())
        self.assertEqual((server.out, server.err), (b"", b""))


if __name__ == "__main__":
    if "--inside" in sys.argv:
        sys.argv.remove("--inside")
        loopback_up()
    else:
        into_a_namespace()
        if not port_is_free():
            print("skipped: port 8001 is taken here, and a network namespace "
                  "can't be made")
            sys.exit(77)
    main()
