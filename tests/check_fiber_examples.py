# SPDX-License-Identifier: MIT
"""The programs of examples/ that run in fibers, on each engine: with each
other, with stock Python sockets and with ncat at the other end.

ctest: timeout=120
"""

import ctypes
import os
import shutil
import signal
import socket
import struct
import sys
import time
import unittest

from peers_support import (ANSWER, PATIENCE, PeerTest, example, main)

LOCAL = "127.0.0.1:0"
FANNED = 500  # connections; of fds both ends together need twice as many
SANITIZE = os.environ.get("KRAIT_SANITIZE", "")

SYS_IO_URING_SETUP = 425
SINGLE_ISSUER, DEFER_TASKRUN = 1 << 12, 1 << 13  # Linux 6.0, 6.1
LONG_LINE = 100000  # bytes without a newline

# As in cli_support.py: a single signal may be kept from what waits.
needs_signals = unittest.skipIf(
    "thread" in SANITIZE,
    "gcc's ThreadSanitizer keeps signals from what waits")


def why_no_ring():
    """Why the kernel gives no io_uring, asked without Krait; or None."""
    libc = ctypes.CDLL(None, use_errno=True)
    params = ctypes.create_string_buffer(120)  # struct io_uring_params
    struct.pack_into("=I", params, 8, SINGLE_ISSUER | DEFER_TASKRUN)  # flags
    fd = libc.syscall(SYS_IO_URING_SETUP, 1, params)
    if fd < 0:
        return "io_uring_setup: " + os.strerror(ctypes.get_errno())
    os.close(fd)
    return None


class OnAnEngine:
    """What is tested; the classes at the end say on which engine."""

    engine = None

    def setUp(self):
        super().setUp()
        before = os.environ.get("KRAIT_ENGINE")
        os.environ["KRAIT_ENGINE"] = self.engine
        self.addCleanup(self.restore, before)

    @staticmethod
    def restore(before):
        if before is None:
            del os.environ["KRAIT_ENGINE"]
        else:
            os.environ["KRAIT_ENGINE"] = before

    def server(self):
        server = self.program(example("fiber_server") + [LOCAL])
        address = server.line(b"Server start at: ")
        server.expect(b"wait for connection...\n")
        return server, address

    def room(self):
        room = self.program(example("chat_room") + [LOCAL])
        return room, room.line(b"The room is at ")

    def connect(self, address, receive_buffer=None):
        """A stock socket."""
        host, _, port = address.rpartition(":")
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        if receive_buffer:  # before the window is told
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                            receive_buffer)
        sock.connect((host, int(port)))
        return sock

    def interrupt(self, program):
        """Ctrl-C: its status."""
        program.process.send_signal(signal.SIGINT)
        return program.finish()

    def assert_says_nothing_wrong(self, program):
        self.assertEqual(program.err, b"")


class Server(OnAnEngine):
    """examples/fiber_server.c."""

    def test_it_runs_on_the_engine_that_was_asked_for(self):
        server, address = self.server()
        with self.connect(address) as sock:
            sock.sendall(b"hello\n")
            self.assertEqual(sock.recv(1024), ANSWER)
            fds = "/proc/%d/fd" % server.process.pid
            kinds = {os.readlink(os.path.join(fds, fd))
                     for fd in os.listdir(fds)}  # none comes or goes now
        self.assertEqual("anon_inode:[io_uring]" in kinds,
                         self.engine == "uring", kinds)

    def test_clients_are_answered_in_any_order(self):
        server, address = self.server()
        socks = [self.connect(address) for _ in range(20)]
        for i in reversed(range(20)):
            socks[i].sendall(b"I am %d\n" % i)
            self.assertEqual(socks[i].recv(1024), ANSWER)
            server.expect(b"I am %d\n" % i)
        for sock in socks:
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sock.recv(1024), b"")
        self.assertEqual(server.out.count(b"Connected by 127.0.0.1:"), 20)
        self.assert_says_nothing_wrong(server)

    def test_a_client_that_resets_ends_only_itself(self):
        server, address = self.server()
        other = self.connect(address)
        rude = self.connect(address)
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
        rude.sendall(b"bye\n")
        self.assertEqual(rude.recv(1024), ANSWER)
        name = "%s:%d" % rude.getsockname()
        rude.close()
        server.expect(b"Connection reset by peer", "err")
        self.assertIn(name.encode(), server.err)
        other.sendall(b"still here\n")
        self.assertEqual(other.recv(1024), ANSWER)

    @needs_signals
    def test_ctrl_c_ends_it_with_clients_connected_and_status_0(self):
        server, address = self.server()
        socks = [self.connect(address) for _ in range(5)]
        for sock in socks:
            sock.sendall(b"hello\n")
            self.assertEqual(sock.recv(1024), ANSWER)
        self.assertEqual(self.interrupt(server), 0)
        for sock in socks:
            self.assertEqual(sock.recv(1024), b"")
        self.assert_says_nothing_wrong(server)

    def test_a_port_that_is_taken_is_said(self):
        _, address = self.server()
        second = self.program(example("fiber_server") + [address])
        self.assertEqual(second.finish(), 1)
        self.assertIn(b"server: bind %s: Address already in use"
                      % address.encode(), second.err)

    @unittest.skipUnless(shutil.which("ncat"), "ncat is not installed")
    def test_ncat_talks_to_it(self):
        server, address = self.server()
        ncat = self.program(["/usr/bin/env", "ncat", *address.split(":")])
        ncat.say(b"from ncat\n")
        ncat.expect(ANSWER)
        self.assertEqual(ncat.finish(), 0)
        server.expect(b"from ncat\n")


class FanOut(OnAnEngine):
    """examples/fan_out.c."""

    def fan_out(self, *args):
        client = self.program(example("fan_out") + list(args))
        return client, client.finish()

    def test_hundreds_of_connections_are_all_answered(self):
        server, address = self.server()
        client, status = self.fan_out(address, str(FANNED))
        self.assertEqual((status, client.err), (0, b""), client.out)
        self.assertRegex(client.out, rb"^%d connected in [0-9.]+ s\n"
                         rb"%d answered in [0-9.]+ s\n$" % (FANNED, FANNED))
        until = time.monotonic() + PATIENCE
        while server.out.count(b"hello from a fiber\n") < FANNED:
            self.assertTrue(server.read(until), server.out[-1000:])
        self.assert_says_nothing_wrong(server)

    def test_a_port_where_nobody_listens_is_said_with_its_errno(self):
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % deaf.getsockname()[1]
            client, status = self.fan_out(address, "10")
        self.assertEqual((status, client.err), (1, b""))
        self.assertIn(b"10 failed to connect: Connection refused\n",
                      client.out)
        self.assertIn(b"\n0 answered in ", client.out)

    def test_another_answer_is_none(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            address = "127.0.0.1:%d" % listener.getsockname()[1]
            client = self.program(example("fan_out") + [address, "2"])
            socks = [listener.accept()[0] for _ in range(2)]
            for sock, answer in zip(socks, (ANSWER, ANSWER.upper())):
                with sock:
                    sock.settimeout(PATIENCE)
                    self.assertEqual(sock.recv(1024), b"hello from a fiber\n")
                    sock.sendall(answer)
        self.assertEqual(client.finish(), 1)
        self.assertIn(b"1 failed to be answered: Bad message\n", client.out)
        self.assertIn(b"\n1 answered in ", client.out)

    def test_a_mistake_in_the_command_line_has_status_2(self):
        for args in ([], [LOCAL, "0"], [LOCAL, "many"]):
            client, status = self.fan_out(*args)
            self.assertEqual(status, 2)
            self.assertIn(b"usage: ", client.err)


class Member:
    """Somebody in the chat room, on a stock socket."""

    def __init__(self, sock, nick):
        self.sock = sock
        self.lines = sock.makefile("rb")
        self.say(nick)

    def say(self, text):
        self.sock.sendall(text + b"\n")

    def hears(self):
        return self.lines.readline()


class ChatRoom(OnAnEngine):
    """examples/chat_room.c."""

    def enter(self, room, address, nick, **more):
        """Comes back once everybody in the room can hear it."""
        member = Member(self.connect(address, **more), nick)
        self.addCleanup(member.lines.close)
        room.expect(nick + b" has joined\n")
        return member

    def test_what_one_says_the_others_hear_in_order(self):
        room, address = self.room()
        ann = self.enter(room, address, b"ann")
        bob = self.enter(room, address, b"bob")
        self.assertEqual(ann.hears(), b"bob has joined\n")
        eve = self.enter(room, address, b"eve")
        for member in ann, bob:
            self.assertEqual(member.hears(), b"eve has joined\n")
        for i in range(10):
            ann.say(b"line %d" % i)
        for i in range(10):
            for member in bob, eve:
                self.assertEqual(member.hears(), b"ann: line %d\n" % i)
        bob.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(bob.hears(), b"")
        for member in ann, eve:  # ann hears nothing of her own
            self.assertEqual(member.hears(), b"bob has left\n")
        self.assert_says_nothing_wrong(room)

    def test_a_flood_costs_nobody_who_reads_a_line(self):
        room, address = self.room()
        ann = self.enter(room, address, b"ann")
        bob = self.enter(room, address, b"bob")
        ann.hears()
        bob.say(b"\n".join(b"%d" % i for i in range(500)))
        for i in range(500):
            self.assertEqual(ann.hears(), b"bob: %d\n" % i)

    def test_long_lines_and_what_a_terminal_obeys_are_tamed(self):
        room, address = self.room()
        ann = self.enter(room, address, b"ann")
        bob = self.enter(room, address, b"bob")
        ann.hears()
        bob.say(b"\x1b[2J\x07 ok \xe4\xbd\xa0")
        self.assertEqual(ann.hears(), b"bob: ?[2J? ok \xe4\xbd\xa0\n")
        bob.say(b"x" * LONG_LINE)
        heard = 0
        while heard < LONG_LINE:
            line = ann.hears()
            self.assertRegex(line, rb"^bob: x{1,255}\n$")
            heard += line.count(b"x")
        bob.say(b"done")
        while line != b"bob: done\n":
            line = ann.hears()
            self.assertIn(line, (b"bob: \n", b"bob: done\n"))

    def test_who_never_reads_is_dropped_and_holds_nobody_up(self):
        room, address = self.room()
        ann = self.enter(room, address, b"ann")
        bob = self.enter(room, address, b"bob")
        self.enter(room, address, b"sloth", receive_buffer=4096)
        for member, joined in ((ann, (b"bob", b"sloth")), (bob, (b"sloth",))):
            for nick in joined:
                self.assertEqual(member.hears(), nick + b" has joined\n")

        said = heard = 0
        dropped = False
        while not dropped:
            self.assertLess(said, 20000, "sloth is not dropped")
            for _ in range(8):  # no more than bob may lag
                ann.say(b"%07d " % said + b"x" * 200)
                said += 1
            while heard < said:
                line = bob.hears()
                if line == b"sloth was dropped: it does not read\n":
                    dropped = True
                    continue
                self.assertEqual(line[:13], b"ann: %07d " % heard)
                heard += 1
        room.expect(b"sloth was dropped: it does not read\n")
        self.assertEqual(ann.hears(), b"sloth was dropped: it does not read\n")
        bob.say(b"still here")
        self.assertEqual(ann.hears(), b"bob: still here\n")

    def test_who_comes_and_goes_without_a_word_was_never_there(self):
        room, address = self.room()
        ann = self.enter(room, address, b"ann")
        self.connect(address).close()
        self.enter(room, address, b"bob")
        self.assertEqual(ann.hears(), b"bob has joined\n")

    @needs_signals
    def test_ctrl_c_ends_it_for_everybody_with_status_0(self):
        room, address = self.room()
        ann = self.enter(room, address, b"ann")
        bob = self.enter(room, address, b"bob")
        self.connect(address)  # has not said who it is
        self.assertEqual(ann.hears(), b"bob has joined\n")
        self.assertEqual(self.interrupt(room), 0)
        for member in ann, bob:
            self.assertIn(member.hears(), (b"", b"ann has left\n",
                                           b"bob has left\n"))
        self.assert_says_nothing_wrong(room)

    @unittest.skipUnless(shutil.which("ncat"), "ncat is not installed")
    def test_ncat_takes_part(self):
        room, address = self.room()
        ann = self.enter(room, address, b"ann")
        ncat = self.program(["/usr/bin/env", "ncat", *address.split(":")])
        ncat.say(b"nat\nhello\n")
        self.assertEqual(ann.hears(), b"nat has joined\n")
        self.assertEqual(ann.hears(), b"nat: hello\n")
        ann.say(b"hello, nat")
        ncat.expect(b"ann: hello, nat\n")


def on_each_engine():
    """ServerOnEpoll, ServerOnUring, ...: what unittest looks for."""
    missing = {"epoll": None, "uring": why_no_ring()}
    for case in Server, FanOut, ChatRoom:
        for engine, why in missing.items():
            name = case.__name__ + "On" + engine.title()
            made = type(name, (case, PeerTest), {"engine": engine})
            globals()[name] = unittest.skipIf(why, why or "")(made)


on_each_engine()

if __name__ == "__main__":
    for program in "fiber_server", "fan_out", "chat_room":
        if not os.access(example(program)[0], os.X_OK):
            print("skipped: examples/%s was not built" % program)
            sys.exit(77)
    main()
