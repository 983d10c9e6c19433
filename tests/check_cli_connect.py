# SPDX-License-Identifier: MIT
"""`krait connect` without a terminal: the pipe, and the dialogue of a pipe.

ctest: timeout=120
"""

import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading

from cli_support import (CommandTest, KRAIT, PATIENCE, PROMPT, REPLY,
                         environment, main)

BINARY = os.urandom(1 << 16) * 96  # 6 MB


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Pipe(CommandTest):
    """The table of krait(1), line for line."""

    def connect(self, *args, **more):
        listener, address = self.listener()
        program = self.krait("connect", *args, address, **more)
        return program, self.accept(listener)

    def assert_ended(self, program, status=0, *says):
        self.assertEqual(program.status(), status, program.err.rest())
        if says:
            self.assert_one_line(program.err.rest(), *says)
        else:
            self.assertEqual(program.err.rest(), b"")

    def test_bytes_go_both_ways_as_they_come(self):
        program, peer = self.connect()
        program.write(b"\0no newline")
        self.assertEqual(self.receive(peer, 11), b"\0no newline")
        peer.sendall(b"\xff\x1b[0m\r\n\0")
        program.out.expect(rb"^\xff\x1b\[0m\r\n\0$")
        program.write(b"more")
        self.assertEqual(self.receive(peer, 4), b"more")
        program.close_stdin()
        self.assertEqual(peer.recv(1), b"")
        peer.close()
        self.assert_ended(program)

    def test_stdins_end_is_passed_on_and_receiving_goes_on(self):
        program, peer = self.connect()
        program.write(b"question")
        program.close_stdin()
        data = b""
        while piece := peer.recv(100):
            data += piece
        self.assertEqual(data, b"question")
        peer.sendall(b"answer, ")
        program.out.expect(b"answer, ")
        peer.sendall(b"in two parts")
        peer.close()
        self.assertEqual(program.out.rest(), b"answer, in two parts")
        self.assert_ended(program)

    def test_the_peers_end_is_the_end_though_stdin_goes_on(self):
        program, peer = self.connect()
        peer.sendall(b"goodbye")
        peer.close()
        self.assertEqual(program.out.rest(), b"goodbye")
        self.assert_ended(program)

    def test_the_peers_half_close_is_its_end(self):
        program, peer = self.connect()
        peer.sendall(b"goodbye")
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(program.out.rest(), b"goodbye")
        self.assert_ended(program)

    def test_megabytes_go_both_ways_at_the_same_time(self):
        program, peer = self.connect()
        received = []

        def from_stdin():
            program.write(BINARY)
            program.close_stdin()

        def from_peer():
            peer.sendall(BINARY[::-1])
            peer.shutdown(socket.SHUT_WR)

        def to_peer():
            data = bytearray()
            while piece := peer.recv(65536):
                data += piece
            received.append(bytes(data))

        # The peer's end would end the program before stdin was read, so it
        # comes when everything has arrived.
        threads = [threading.Thread(target=f)
                   for f in (from_stdin, to_peer)]
        sender = threading.Thread(target=peer.sendall, args=(BINARY[::-1],))
        for thread in (*threads, sender):
            thread.start()
        out = bytearray()
        while len(out) < len(BINARY):
            out += os.read(program.process.stdout.fileno(), 65536)
        for thread in (*threads, sender):
            thread.join(PATIENCE)
        peer.close()
        self.assertEqual(digest(bytes(out)), digest(BINARY[::-1]))
        self.assertEqual(digest(received[0]), digest(BINARY))
        self.assert_ended(program)

    def test_what_came_before_the_end_is_written_though_stdout_is_slow(self):
        program, peer = self.connect()
        sender = threading.Thread(
            target=lambda: (peer.sendall(BINARY), peer.close()))
        sender.start()
        self.assertIsNone(program.process.poll())
        out = bytearray()
        while piece := os.read(program.process.stdout.fileno(), 4096):
            out += piece
        sender.join(PATIENCE)
        self.assertEqual(digest(bytes(out)), digest(BINARY))
        self.assert_ended(program)

    def test_a_peer_that_does_not_read_does_not_stop_receiving(self):
        program, peer = self.connect()
        filler = threading.Thread(target=self.fill, args=(program,))
        filler.start()
        peer.sendall(b"still received")
        program.out.expect(b"still received")
        reset(peer)
        self.assertEqual(program.status(), 1)
        filler.join(PATIENCE)

    def fill(self, program):
        try:
            while True:
                program.write(b"x" * 65536)
        except (BrokenPipeError, ValueError):
            pass

    def test_a_stdout_that_nobody_reads_does_not_stop_sending(self):
        program, peer = self.connect()
        peer.settimeout(0.2)
        try:
            while True:
                peer.send(b"x" * 65536)
        except TimeoutError:
            peer.settimeout(PATIENCE)
        program.write(b"still sent")
        self.assertEqual(self.receive(peer, 10), b"still sent")

    def test_a_reset_is_a_failure_and_what_came_before_is_written(self):
        program, peer = self.connect()
        peer.sendall(b"before")
        program.out.expect(b"before")
        reset(peer)
        self.assert_ended(program, 1, b"Connection reset")
        self.assertEqual(program.out.rest(), b"before")

    def test_a_peer_that_leaves_unread_input_is_a_failure(self):
        program, peer = self.connect()
        program.write(b"unread")
        self.assertEqual(peer.recv(6, socket.MSG_PEEK), b"unread")
        peer.sendall(b"")
        reset(peer)
        self.assertEqual(program.status(), 1)

    def test_a_full_disk_behind_stdout_is_said(self):
        with open("/dev/full", "wb") as full:
            program, peer = self.connect(stdout=full)
        peer.sendall(b"x")
        self.assert_ended(program, 7, b"stdout", b"No space left")

    def test_a_closed_pipe_behind_stdout_is_said(self):
        program, peer = self.connect()
        program.process.stdout.close()
        program.process.stdout = None
        peer.sendall(b"x")
        self.assert_ended(program, 7, b"stdout", b"Broken pipe")

    def test_a_stdin_that_can_not_be_read_is_said(self):
        folder = os.open(self.directory, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        program, peer = self.connect(stdin=folder)
        self.assertEqual(peer.recv(1), b"")
        peer.close()
        self.assert_ended(program, 7, b"stdin", b"Is a directory")

    def test_silence_ends_it_with_the_timeouts_status(self):
        program, _ = self.connect("--timeout", "200ms")
        self.assert_ended(program, 4, b"0.2 s")

    def test_ctrl_c_ends_it_with_130(self):
        program, peer = self.connect()
        peer.sendall(b"x")
        program.out.expect(b"x")
        program.signal(signal.SIGINT)
        self.assert_ended(program, 130)

    def test_recv_only_leaves_stdin_alone(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        os.write(write, b"not for you")
        program, peer = self.connect("--recv-only", stdin=read)
        peer.sendall(b"news")
        program.out.expect(b"news")
        peer.shutdown(socket.SHUT_WR)
        self.assert_ended(program)
        self.assertEqual(peer.recv(1), b"")
        self.assertEqual(os.read(read, 100), b"not for you")

    def test_send_only_discards_what_comes_and_everything_arrives(self):
        program, peer = self.connect("--send-only")
        peer.sendall(b"noise")
        program.write(b"first ")
        self.assertEqual(self.receive(peer, 6), b"first ")
        peer.sendall(b"noise" * 1000)
        peer.shutdown(socket.SHUT_WR)
        program.write(b"second, after the peer's half-close")
        program.close_stdin()
        data = b""
        while piece := peer.recv(100):
            data += piece
        self.assertEqual(data, b"second, after the peer's half-close")
        self.assert_ended(program)
        self.assertEqual(program.out.rest(), b"")

    def test_send_only_waits_for_the_peer_after_stdins_end(self):
        program, peer = self.connect("--send-only")
        program.write(b"all of it")
        program.close_stdin()
        peer.sendall(b"noise that would reset the connection")
        self.assertEqual(self.receive(peer, 100), b"all of it")
        self.assertIsNone(program.process.poll())
        peer.close()
        self.assert_ended(program)

    def test_send_only_leaves_a_silent_peer_after_the_timeout(self):
        read, write = os.pipe()
        os.write(write, b"x")
        os.close(write)
        program, _ = self.connect("--send-only", "--timeout", "200ms",
                                  stdin=read)
        os.close(read)
        self.assert_ended(program)

    def test_a_refused_connection_has_a_status_of_its_own(self):
        listener, address = self.listener()
        listener.close()
        for target in (address, "unix:" + self.path("none")):
            status, out, err = self.run_krait("connect", target)
            self.assertEqual((status, out), (5, b""))
            self.assert_one_line(err, target.encode())

    def test_a_connection_that_takes_too_long_times_out(self):
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            waiting = []
            for _ in range(4):  # the queue is full; SYNs are dropped now
                sock = socket.socket()
                self.addCleanup(sock.close)
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", port))
                waiting.append(sock)
            status, _, err = self.run_krait("connect", "--timeout", "100ms",
                                            "127.0.0.1:%d" % port)
        self.assertEqual(status, 4, err)
        self.assert_one_line(err, b"127.0.0.1:%d" % port)


class OtherTypes(CommandTest):
    def test_udp_sends_each_read_and_ends_after_silence(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(PATIENCE)
            peer.bind(("127.0.0.1", 0))
            program = self.krait("connect",
                                 "udp:127.0.0.1:%d" % peer.getsockname()[1])
            program.write(b"one")
            data, client = peer.recvfrom(100)
            self.assertEqual(data, b"one")
            peer.sendto(b"", client)
            peer.sendto(b"answer", client)
            program.out.expect(b"answer")
            program.close_stdin()
            peer.sendto(b", late", client)
            self.assertEqual(program.out.rest(), b"answer, late")
            self.assertEqual(program.status(), 0)

    def test_udp_that_nobody_listens_to_is_refused(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        program = self.krait("connect", "udp:127.0.0.1:%d" % port)
        program.write(b"x")
        self.assertEqual(program.status(), 5)
        self.assert_one_line(program.err.rest(), b"Connection refused")

    def test_unix_datagrams_can_be_answered(self):
        path = self.path("datagrams")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.settimeout(PATIENCE)
            peer.bind(path)
            program = self.krait("connect", "udp:unix:" + path)
            program.write(b"question")
            data, client = peer.recvfrom(100)
            self.assertEqual(data, b"question")
            peer.sendto(b"answer", client)
            program.out.expect(b"answer")

    def test_records_stay_records(self):
        path = self.path("records")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.settimeout(PATIENCE)
            listener.bind(path)
            listener.listen()
            program = self.krait("connect", "seqpacket:unix:" + path)
            peer = self.accept(listener)
            for record in (b"one", b"two"):
                program.write(record)
                self.assertEqual(peer.recv(100), record)
            peer.send(b"x" * 60000)
            program.out.expect(b"x{60000}")
            program.close_stdin()
            self.assertEqual(peer.recv(100), b"")
            peer.close()
            self.assertEqual(program.status(), 0)


class Dialogue(CommandTest):
    def test_lines_of_a_pipe_are_answered_one_after_the_other(self):
        server = self.server()
        status, out, err = self.run_krait("connect", "--prompt",
                                          server.address,
                                          stdin="a\n\n世界".encode())
        self.assertEqual((status, err), (0, b""))
        self.assertEqual(out, b"".join(
            PROMPT + line + b"\n" + REPLY + b"\n"
            for line in (b"a", b"", "世界".encode())) + PROMPT + b"\n")
        server.out.expect("\na\n\n世界\n".encode())

    def test_each_line_waits_for_its_answer(self):
        listener, address = self.listener()
        program = self.krait("connect", "--prompt", address)
        program.write(b"first\nsecond\n")
        peer = self.accept(listener)
        self.assertEqual(self.receive(peer, 6), b"first\n")
        peer.settimeout(0.1)
        with self.assertRaises(TimeoutError):
            peer.recv(1)
        peer.settimeout(PATIENCE)
        peer.sendall(b"go on")
        self.assertEqual(self.receive(peer, 7), b"second\n")
        peer.sendall(b"with newline\n")
        program.out.expect(rb"^Please input msg:first\ngo on\n"
                           rb"Please input msg:second\nwith newline\n"
                           rb"Please input msg:$")

    def test_answers_that_come_late_are_not_lost(self):
        listener, address = self.listener()
        program = self.krait("connect", "--prompt", address)
        peer = self.accept(listener)
        program.write(b"x\n")
        self.receive(peer, 2)
        peer.sendall(b"one")
        program.out.expect(b"one\nPlease input msg:$")
        peer.sendall(b"two")
        program.out.expect(b"\ntwo\nPlease input msg:$")
        program.close_stdin()
        self.assertEqual(peer.recv(1), b"")
        peer.sendall(b"three")
        peer.close()
        self.assertTrue(program.out.rest().endswith(b"three\n"))
        self.assertEqual(program.status(), 0)

    def test_a_line_longer_than_a_piece_is_answered_in_full(self):
        server = self.server("--echo")
        long = os.urandom(150000).hex().encode() + b"\n"
        results = []
        client = threading.Thread(target=lambda: results.append(
            self.run_krait("connect", "--prompt", server.address,
                           stdin=long + b"x\n")))
        client.start()
        server.out.expect(re.escape(long))
        client.join(PATIENCE)
        status, out, err = results[0]
        self.assertEqual((status, err), (0, b""))
        # Prompts and newlines may stand between pieces; nothing is missing.
        answers = out.replace(PROMPT, b"").replace(b"\n", b"")
        self.assertEqual(sorted(answers), sorted(
            (long + b"x" + long + b"x").replace(b"\n", b"")))

    def test_split_characters_are_put_together(self):
        listener, address = self.listener()
        program = self.krait("connect", "--prompt", address)
        peer = self.accept(listener)
        program.write(b"x\n")
        self.receive(peer, 2)
        peer.sendall("世".encode()[:2])
        program.out.expect(b"x\nPlease input msg:$")
        peer.sendall("世".encode()[2:])
        program.out.expect("世\n".encode() + b"Please input msg:$")

    def test_the_peers_end_is_said(self):
        listener, address = self.listener()
        program = self.krait("connect", "--prompt", address)
        peer = self.accept(listener)
        program.write(b"x\n")
        self.receive(peer, 2)
        peer.close()
        self.assertEqual(program.status(), 1)
        self.assert_one_line(program.err.rest(), b"closed the connection")

    def test_a_reset_is_said(self):
        listener, address = self.listener()
        program = self.krait("connect", "--prompt", address)
        reset(self.accept(listener))
        self.assertEqual(program.status(), 1)
        self.assert_one_line(program.err.rest(), b"Connection reset")

    def test_an_answer_that_does_not_come_times_out(self):
        listener, address = self.listener()
        program = self.krait("connect", "--prompt", "--timeout", "300ms",
                             address)
        self.accept(listener)
        program.write(b"x\n")
        self.assertEqual(program.status(), 4)
        self.assert_one_line(program.err.rest(), b"no answer within 0.3 s")

    def test_a_lost_datagram_does_not_end_the_dialogue(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(PATIENCE)
            peer.bind(("127.0.0.1", 0))
            program = self.krait("connect", "--prompt", "--timeout", "50ms",
                                 "udp:127.0.0.1:%d" % peer.getsockname()[1])
            program.write(b"lost\nfound\n")
            self.assertEqual(peer.recv(100), b"lost\n")
            data, client = peer.recvfrom(100)
            self.assertEqual(data, b"found\n")
            program.err.expect(b"no answer within 0.05 s\n")
            program.close_stdin()
            self.assertEqual(program.status(), 0)

    def test_ctrl_c_ends_it_with_130_wherever_it_waits(self):
        listener, address = self.listener()
        for line in (b"", b"waits for an answer\n"):
            program = self.krait("connect", "--prompt", address)
            peer = self.accept(listener)
            program.write(line)
            self.receive(peer, len(line))
            program.out.expect(PROMPT)
            program.signal(signal.SIGINT)
            self.assertEqual(program.status(), 130)
            self.assertEqual(program.err.rest(), b"")

    def test_a_stdout_that_fails_is_said(self):
        server = self.server()
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [KRAIT, "connect", "--prompt", server.address], input=b"a\n",
                stdout=full, stderr=subprocess.PIPE, env=environment(),
                timeout=PATIENCE)
        self.assertEqual(done.returncode, 7)
        self.assert_one_line(done.stderr, b"stdout: No space left")

    def test_unix_datagrams_and_records_talk_too(self):
        for kind in ("udp", "seqpacket"):
            server = self.server(address="%s:unix:%s" %
                                 (kind, self.path(kind)))
            address = server.address
            if not address.startswith(kind):
                address = kind + ":" + address
            status, out, err = self.run_krait("connect", "--prompt", address,
                                              stdin=b"a\nb\n")
            self.assertEqual((status, err), (0, b""), out)
            self.assertEqual(out.count(REPLY), 2)
            server.out.expect(b"a\nb\n")


if __name__ == "__main__":
    main()
