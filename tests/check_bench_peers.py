# SPDX-License-Identifier: MIT
"""The benchmark's servers do what they are compared at: each one that is there
echoes, whatever the pieces, and survives what peers do to it.

ctest: timeout=300 labels=no-valgrind
"""

import hashlib
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
SOURCE = os.environ["KRAIT_SOURCE"]
BENCH = os.path.join(SOURCE, "bench")
sys.path.insert(0, BENCH)

from driver import programs  # noqa: E402

PATIENCE = 20.0         # s, until something counts as hanging
QUIET = 0.2             # s without a byte taken: the server has stopped reading
IDLE = 0.3              # s, for which an idle server is watched
IDLE_CPU = 0.1          # s of CPU that it may take in that time
CROWD = 200
PIECES = 1, 7, 64, 1023, 1024, 1025, 3, 4096, 20000
FLOOD_MOST = 32 << 20   # more than all buffers between two processes take
STATUS_SKIPPED = 77

KNOWN = programs.Programs(
    BENCH, os.path.join(os.environ["KRAIT_BUILD"], "bench"))

# Those that are in no table.
MORE = (
    programs.Server("libevent-buffers", "peer", "peer_libevent",
                    ("--bufferevent",)),
)

# What a server cannot do, and why.
CANNOT = {
    ("uring-multishot", "test_keeps_what_a_slow_client_does_not_take"):
        "a client that takes nothing back comes to hold all of the buffers",
}


def data(size, seed=1):
    """So many bytes, no two pieces of which are alike."""
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest()
                    for i in range(size // 32 + 1))[:size]


class Server:
    def __init__(self, server, *options):
        # The child's own limit, which it is to raise.
        soft = min(256, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        self.process = subprocess.Popen(
            [*KNOWN.command(server), *options],
            env={**os.environ, **server.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE,
                (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
        try:
            self.port = self._port()
        except BaseException:
            self.kill()
            raise

    def _port(self):
        out = self.process.stdout
        if not select.select([out], [], [], PATIENCE)[0]:
            raise AssertionError("it says nothing")
        word, _, number = out.readline().decode().partition(" ")
        if word != "port":
            raise AssertionError(f"it says {word!r}, not its port")
        return int(number)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def end(self):
        """Its status after SIGTERM, and what else it said."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, rest

    def connect(self, receive_buffer=None):
        client = socket.socket()
        client.settimeout(PATIENCE)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                              receive_buffer)
        client.connect(("127.0.0.1", self.port))
        return client

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu(self):
        """Seconds that it has taken so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def receive(client, size):
    """SIZE bytes, or fewer where the stream ends."""
    got = bytearray()
    while len(got) < size:
        piece = client.recv(min(size - len(got), 65536))
        if not piece:
            break
        got += piece
    return bytes(got)


def reset(client):
    """Closes it so that the server gets a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      struct.pack("ii", 1, 0))
    client.close()


def flood(client, most):
    """Sends until nothing is taken any more; returns what was sent."""
    everything = data(most)
    sent = 0
    client.setblocking(False)
    while sent < most and select.select([], [client], [], QUIET)[1]:
        sent += client.send(everything[sent:sent + 65536])
    client.settimeout(PATIENCE)
    return everything[:sent]


class Checks:
    """Of one server, which a class made below names."""

    server = None

    def setUp(self):
        test = self.id().rpartition(".")[2]
        why = KNOWN.why_absent(self.server) or \
            CANNOT.get((self.server.name, test))
        if why:
            self.skipTest(why)

    def start(self, *options):
        server = Server(self.server, *options)
        self.addCleanup(server.kill)
        return server

    def connect(self, server, *args):
        client = server.connect(*args)
        self.addCleanup(client.close)
        return client

    def answers(self, server, seed=7):
        """It still does, to somebody new."""
        client = self.connect(server)
        message = data(64, seed)
        client.sendall(message)
        self.assertEqual(receive(client, 64), message)

    def wait_until(self, condition, what):
        until = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > until:
                self.fail(what)
            time.sleep(0.01)

    def echo(self, client, message):
        """In odd pieces, the answers read as they come."""
        got = bytearray()
        sent = turn = 0
        client.setblocking(False)
        while len(got) < len(message):
            wants = [client] if sent < len(message) else []
            readable, writable, _ = select.select([client], wants, [], PATIENCE)
            self.assertTrue(readable or writable, "the echo hangs")
            if writable:
                sent += client.send(
                    message[sent:sent + PIECES[turn % len(PIECES)]])
                turn += 1
            if readable:
                piece = client.recv(PIECES[-turn % len(PIECES)])
                self.assertTrue(piece, "the echo ends early")
                got += piece
        client.settimeout(PATIENCE)
        self.assertEqual(got, message)

    def test_echoes_odd_pieces(self):
        server = self.start()
        self.echo(self.connect(server), data(100 << 10))

    def test_echoes_with_a_small_buffer_and_work(self):
        server = self.start("--buffer", "100", "--work", "1000000")
        client = self.connect(server)
        begun = time.monotonic()
        self.echo(client, data(1000))
        self.assertGreaterEqual(time.monotonic() - begun, 0.001)

    def test_echoes_with_a_large_buffer(self):
        server = self.start("--buffer", "65536")
        self.echo(self.connect(server), data(1 << 20))

    def test_keeps_what_a_slow_client_does_not_take(self):
        server = self.start()
        client = self.connect(server, 4096)
        message = flood(client, FLOOD_MOST)
        self.assertLess(len(message), FLOOD_MOST, "it keeps all of it")
        self.answers(server)
        self.assertTrue(receive(client, len(message)) == message)
        self.echo(client, data(5000))

    def test_finishes_what_a_half_closed_client_sent(self):
        server = self.start()
        client = self.connect(server, 4096)
        message = data(100 << 10)
        client.sendall(message)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(receive(client, len(message) + 1), message)

    def test_survives_resets(self):
        server = self.start()
        self.answers(server)
        before = server.fds()
        for size in 0, 1, 1000:
            client = server.connect()
            client.sendall(data(size))
            if size == 1:
                receive(client, 1)
            reset(client)
        client = server.connect(4096)
        flood(client, FLOOD_MOST)
        reset(client)
        self.answers(server)
        self.wait_until(lambda: server.fds() <= before + 1,
                        "it keeps fds of connections that have gone")

    def test_serves_many_at_once(self):
        server = self.start()
        self.answers(server)
        clients = [self.connect(server) for _ in range(CROWD)]
        for i, client in enumerate(clients):
            client.sendall(data(500, i))
        for i, client in enumerate(clients):
            self.assertEqual(receive(client, 500), data(500, i))
        before = server.cpu()
        time.sleep(IDLE)
        self.assertLess(server.cpu() - before, IDLE_CPU, "it is busy, idle")
        self.assertGreaterEqual(server.fds(), CROWD)
        for client in clients:
            client.close()
        self.wait_until(lambda: server.fds() < CROWD,
                        "it keeps fds of connections that have ended")
        self.answers(server)

    def test_sinks(self):
        server = self.start("--sink", "--buffer", "65536")
        client = self.connect(server)
        client.sendall(data(4 << 20))
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(1), b"")

    def test_ends_at_sigterm(self):
        server = self.start()
        self.answers(server)
        self.assertEqual(server.end(), (0, b""))


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for server in (*programs.SERVERS, *MORE):
        name = server.name.replace("-", "_")
        case = type(name, (Checks, unittest.TestCase), {"server": server})
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    for why in sorted({f"{type(case).__name__}: {why}"
                       for case, why in result.skipped}):
        print("skipped", why)
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun == len(result.skipped):
        sys.exit(STATUS_SKIPPED)
