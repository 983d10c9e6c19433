# SPDX-License-Identifier: MIT
"""The benchmark's load generator: it finds every fault that a server can have,
and none where there is none; and what it measures is so.

ctest: timeout=120
"""

import contextlib
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True

BENCH = os.path.join(os.environ.get("KRAIT_BUILD", "build"), "bench")
PATIENCE = 60
SIZE = 64
PIECE = 65536

# Servers that are to be right, and what is told to all of them.
SERVERS = {
    "reference_epoll": (["reference_epoll"], {}),
    "reference_uring": (["reference_uring"], {}),
    "reference_uring --multishot": (["reference_uring", "--multishot"], {}),
    "krait_echo, epoll": (["krait_echo"], {"KRAIT_ENGINE": "epoll"}),
    "krait_echo, uring": (["krait_echo"], {"KRAIT_ENGINE": "uring"}),
}


def program(name):
    return os.path.join(BENCH, name)


def line_of(process):
    """Its next one; fails if there is none in time."""
    if not select.select([process.stdout], [], [], PATIENCE)[0]:
        raise AssertionError(f"{process.args[0]} says nothing")
    line = process.stdout.readline().decode()
    if not line:
        raise AssertionError(f"{process.args[0]} has ended")
    return line


class Load:
    """The load generator, connected."""

    def __init__(self, port, *options):
        self.process = subprocess.Popen(
            [program("load"), "--port", str(port), *map(str, options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0)
        self.complaint = None

    def ready(self):
        assert line_of(self.process) == "ready\n"
        return self

    def slice(self, seconds=0.1):
        self.process.stdin.write(f"{seconds}\n".encode())
        pairs = (word.split("=") for word in line_of(self.process).split())
        return {key: float(number) for key, number in pairs}

    def end(self):
        """Its status, and what it has complained about."""
        if self.complaint is None:
            self.process.stdin.close()
            self.complaint = self.process.stderr.read().decode()
            self.process.wait(PATIENCE)
            self.process.stdout.close()
            self.process.stderr.close()
        return self.process.returncode, self.complaint


class Pretender:
    """A server that does with each connection what `talk` says; every
    connection has a thread."""

    def __init__(self, talk):
        self.talk = talk
        self.lock = threading.Lock()
        self.received = {}      # bytes, by connection
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.threads.append(threading.Thread(target=self.accept))
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self.serve, args=(conn,))
            self.threads.append(thread)
            thread.start()

    def serve(self, conn):
        with contextlib.suppress(OSError), conn:
            self.talk(self, conn)

    def receive(self, conn, size=SIZE):
        """A whole request, or b''."""
        data = b""
        while len(data) < size:
            piece = conn.recv(size - len(data))
            if not piece:
                return b""
            data += piece
        with self.lock:
            self.received[conn] = self.received.get(conn, 0) + size
        return data

    def end(self):
        with contextlib.suppress(OSError):  # it may have ended already
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(PATIENCE)


def requests(server, conn, size=SIZE):
    while data := server.receive(conn, size):
        yield data


def honest(server, conn):
    for data in requests(server, conn):
        conn.sendall(data)


def in_pieces(server, conn):
    for data in requests(server, conn):
        for at in range(0, SIZE, 13):
            conn.sendall(data[at:at + 13])
            time.sleep(0.0005)


def slow(server, conn):
    for data in requests(server, conn):
        time.sleep(0.02)
        conn.sendall(data)


def fifth(fault):
    """Honest, but for each connection's fifth answer."""
    def talk(server, conn):
        for i, data in enumerate(requests(server, conn)):
            conn.sendall(fault(data) if i == 4 else data)
    return talk


def damaged(data):
    return data[:17] + bytes([data[17] ^ 0x20]) + data[18:]


def earlier(server, conn):
    """Answers the fifth request by the fourth's answer."""
    before = b""
    for i, data in enumerate(requests(server, conn)):
        conn.sendall(before if i == 4 else data)
        before = data


def crossed():
    """Two connections get each other's second answers."""
    meeting = threading.Barrier(2)
    answers = {}

    def talk(server, conn):
        number = None
        for i, data in enumerate(requests(server, conn)):
            if i == 1:
                number = meeting.wait(PATIENCE)
                answers[number] = data
                meeting.wait(PATIENCE)
                data = answers[1 - number]
            conn.sendall(data)
    return talk


def hangs_up(after, part=0):
    """Closes instead of an answer, or after a part of it."""
    def talk(server, conn):
        for i, data in enumerate(requests(server, conn)):
            if i == after:
                conn.sendall(data[:part])
                return
            conn.sendall(data)
    return talk


def resets(server, conn):
    server.receive(conn)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))


def falls_silent(server, conn):
    """Owes each connection the last byte of its third answer."""
    for i, data in enumerate(requests(server, conn)):
        conn.sendall(data[:-1] if i == 2 else data)


def talks_unasked(server, conn):
    conn.sendall(b"welcome")
    honest(server, conn)


def sink(server, conn):
    while piece := conn.recv(PIECE):
        with server.lock:
            server.received[0] = server.received.get(0, 0) + len(piece)


def sink_for_a_while(server, conn):
    for _ in range(5):
        conn.recv(PIECE)


class LoadTest(unittest.TestCase):
    def pretend(self, talk):
        server = Pretender(talk)
        self.addCleanup(server.end)
        return server

    def load(self, port, *options):
        load = Load(port, *options)
        self.addCleanup(load.end)   # which goes before the server's end
        return load.ready()

    def server(self, name, *options):
        command, environment = SERVERS[name]
        process = subprocess.Popen(
            [program(command[0]), *command[1:], *map(str, options)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.terminate)
        word, port = line_of(process).split()
        self.assertEqual(word, "port")
        return process, int(port)

    # --- where nothing is wrong ---

    def test_an_honest_server_has_no_errors(self):
        server = self.pretend(honest)
        load = self.load(server.port, "--connections", 8)
        for _ in range(3):
            piece = load.slice()
            self.assertEqual(piece["errors"], 0)
            self.assertGreater(piece["requests"], 0)
            self.assertEqual(piece["bytes"], piece["requests"] * SIZE)
        self.assertEqual(load.end(), (0, ""))

    def test_answers_in_pieces_are_put_together(self):
        server = self.pretend(in_pieces)
        load = self.load(server.port, "--connections", 3)
        piece = load.slice()
        self.assertEqual(piece["errors"], 0)
        self.assertGreater(piece["requests"], 0)

    def test_every_server_is_right_in_every_mode(self):
        cases = (
            # connections, size, mode, the server's buffer
            (1, 1, "echo", 1024),
            (20, 64, "echo", 1024),
            (20, 16384, "echo", 16384),
            (5, 16384, "echo", 1000),
            (3, 1000000, "echo", 65536),
            (20, 64, "connect", 1024),
            (5, 100000, "connect", 4096),
            (2, 65536, "stream", 65536),
        )
        for name in SERVERS:
            for connections, size, mode, buffer in cases:
                what = f"{name}: {mode} of {size}"
                sinks = ["--sink"] if mode == "stream" else []
                process, port = self.server(name, "--buffer", buffer, *sinks)
                load = self.load(port, "--connections", connections, "--size",
                                 size, "--mode", mode, "--pid", process.pid)
                for _ in range(2):
                    piece = load.slice(0.05)
                    self.assertEqual(piece["errors"], 0, what)
                    self.assertGreater(piece["bytes"], 0, what)
                    self.assertGreater(piece["server_us"], 0, what)
                self.assertEqual(load.end(), (0, ""), what)
                self.assertIsNone(process.poll(), what)

    def test_all_connections_of_thousands_are_used(self):
        _, port = self.server("reference_epoll")
        load = self.load(port, "--connections", 3000)
        piece = load.slice(0.3)
        self.assertEqual(piece["errors"], 0)
        self.assertGreaterEqual(piece["requests"], 3000)

    # --- where something is wrong ---

    def finds(self, talk, said, *options, connections=2, seconds=0.1):
        """There are errors, and the first one is told, once."""
        server = self.pretend(talk)
        load = self.load(server.port, "--connections", connections, *options)
        piece = load.slice(seconds)
        self.assertGreater(piece["errors"], 0)
        status, complaint = load.end()
        self.assertEqual(status, 0)
        self.assertRegex(complaint, rf"^load: {said}\n$")
        return piece

    def test_one_wrong_byte_is_found_and_its_place_is_told(self):
        piece = self.finds(fifth(damaged),
                           r"connection [01], request 5, byte 17 of 64: "
                           r"0x.. instead of 0x..")
        self.assertEqual(piece["errors"], 2)
        self.assertGreater(piece["requests"], 8)    # the others are right

    def test_an_answer_of_zeros_is_found(self):
        self.finds(fifth(lambda data: bytes(len(data))), ".*request 5.*")

    def test_a_byte_that_moved_is_found(self):
        self.finds(fifth(lambda data: data[1:] + data[:1]), ".*request 5.*")

    def test_an_earlier_answer_is_found(self):
        self.finds(earlier, ".*request 5.*", connections=1)

    def test_another_connections_answer_is_found(self):
        self.finds(crossed(), ".*request 2.*")

    def test_a_byte_too_many_is_found(self):
        self.finds(fifth(lambda data: data + b"!"),
                   r"connection [01], request \d, .*too many|"
                   r"connection [01], request 6, byte 0 .*")

    def test_bytes_that_nobody_asked_for_are_found(self):
        self.finds(talks_unasked, ".*")

    def test_an_end_instead_of_an_answer_is_found(self):
        self.finds(hangs_up(4),
                   "connection [01], request 5, byte 0 of 64: closed")

    def test_an_end_within_an_answer_is_found(self):
        self.finds(hangs_up(4, part=10),
                   "connection [01], request 5, byte 10 of 64: closed")

    def test_a_reset_is_found(self):
        self.finds(resets, ".*: Connection reset by peer")

    def test_an_answer_that_does_not_come_is_found(self):
        piece = self.finds(falls_silent,
                           "connection [01], request 3, byte 63 of 64: silence")
        self.assertEqual(piece["errors"], 2)

    def test_what_is_lost_stays_an_error(self):
        server = self.pretend(hangs_up(0))
        load = self.load(server.port, "--connections", 2)
        for _ in range(3):
            piece = load.slice(0.05)
            self.assertEqual(piece["errors"], 2)
            self.assertEqual(piece["requests"], 0)

    def test_a_server_that_dies_is_found(self):
        process, port = self.server("reference_epoll")
        load = self.load(port, "--connections", 4)
        self.assertEqual(load.slice(0.05)["errors"], 0)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
        self.assertEqual(load.slice(0.05)["errors"], 4)

    def test_connect_finds_a_wrong_byte(self):
        self.finds(lambda server, conn: conn.sendall(damaged(
            server.receive(conn))), "connection [01], request 1, byte 17 .*",
            "--mode", "connect")

    def test_connect_finds_an_early_end(self):
        self.finds(hangs_up(0, part=10),
                   "connection [01], request 1, byte 10 of 64: closed",
                   "--mode", "connect")

    def test_connect_finds_that_nobody_listens(self):
        server = self.pretend(honest)
        load = self.load(server.port, "--connections", 3, "--mode", "connect")
        self.assertEqual(load.slice()["errors"], 0)
        server.end()
        self.assertEqual(load.slice()["errors"], 3)
        self.assertIn("Connection refused", load.end()[1])

    def test_connect_finds_silence(self):
        self.finds(lambda server, conn: conn.recv(SIZE) and conn.recv(1),
                   "connection [01], request 1: silence", "--mode", "connect")

    def test_stream_finds_an_early_end(self):
        self.finds(sink_for_a_while,
                   "connection [01], write .*"
                   "(reset by peer|Broken pipe|not all of it)",
                   "--mode", "stream", "--size", PIECE)

    def test_nobody_to_connect_to_is_told(self):
        load = Load(1, "--connections", 1)
        status, complaint = load.end()
        self.assertEqual(status, 1)
        self.assertRegex(complaint, "load: connect: .*")

    # --- what is measured ---

    def test_only_the_active_ones_are_used_and_others_each_time(self):
        server = self.pretend(honest)
        load = self.load(server.port, "--connections", 40, "--active", 3)
        used = set()
        for _ in range(8):
            server.received.clear()
            piece = load.slice(0.02)
            self.assertEqual(piece["errors"], 0)
            self.assertEqual(len(server.received), 3)
            used.update(server.received)
        self.assertGreater(len(used), 6)

    def test_the_times_are_the_servers(self):
        server = self.pretend(slow)
        load = self.load(server.port, "--connections", 4)
        piece = load.slice(0.5)
        self.assertGreaterEqual(piece["p50_us"], 19800)    # within 1 %
        self.assertLessEqual(piece["p50_us"], piece["p99_us"])
        self.assertLessEqual(piece["p99_us"], piece["p999_us"])
        self.assertLessEqual(piece["p999_us"], piece["max_us"])
        self.assertGreaterEqual(piece["seconds"], 0.5)

    def test_the_servers_cpu_time_is_what_it_works(self):
        process, port = self.server("reference_epoll", "--work", 500000)
        load = self.load(port, "--connections", 2, "--pid", process.pid)
        piece = load.slice(0.3)
        # It works until so much time has passed, and whoever else runs
        # meanwhile has a part of that.
        self.assertGreater(piece["server_us"], 50)
        self.assertGreater(piece["server_cpu"], piece["client_cpu"])

    def test_nothing_is_left_in_flight(self):
        for name, size in (("--connections", SIZE), ("--spin", SIZE)):
            server = self.pretend(honest)
            load = self.load(server.port, "--connections", 8,
                             *(["--spin"] if name == "--spin" else []))
            load.slice()
            before = sum(server.received.values())
            time.sleep(0.05)
            self.assertEqual(sum(server.received.values()), before)
            self.assertEqual(before % size, 0)

    def test_between_slices_it_uses_no_cpu(self):
        server = self.pretend(honest)
        load = self.load(server.port, "--connections", 8, "--spin")
        load.slice(0.05)

        def used():
            with open(f"/proc/{load.process.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            return int(fields[11]) + int(fields[12])
        before = used()
        time.sleep(0.3)
        self.assertLessEqual(used() - before, 1)

    def test_a_stream_counts_what_has_arrived(self):
        server = self.pretend(sink)
        load = self.load(server.port, "--connections", 2, "--mode", "stream",
                         "--size", PIECE)
        piece = load.slice(0.2)
        load.end()
        server.end()
        arrived = server.received[0]
        self.assertEqual(piece["errors"], 0)
        self.assertEqual(arrived % PIECE, 0)
        # What was in the sockets' queues at the end is not counted.
        self.assertLessEqual(piece["bytes"], arrived)
        self.assertGreater(piece["bytes"], arrived / 4)

    def test_a_wrong_command_line_is_refused(self):
        for options in ((), ("--port", "1"), ("--port", "x"),
                        ("--port", "1", "--connections", "2", "--active", "3"),
                        ("--port", "1", "--connections", "1", "--mode", "x")):
            done = subprocess.run([program("load"), *options], check=False,
                                  stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, timeout=PATIENCE)
            self.assertEqual(done.returncode, 2, options)
            self.assertTrue(re.search(b"usage: load", done.stderr))


if __name__ == "__main__":
    unittest.main(verbosity=2)
