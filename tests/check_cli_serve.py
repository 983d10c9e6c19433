# SPDX-License-Identifier: MIT
"""`krait serve`, with stock Python sockets as its clients.

ctest: timeout=120
"""

import os
import signal
import socket
import struct
import threading
import time

from cli_support import CommandTest, PATIENCE, REPLY, main, needs_signals


def reset(sock):
    """Closes so that the peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


class Serve(CommandTest):
    def connected(self, server, sock):
        name = "Connected by %s:%d\n" % sock.getsockname()[:2]
        return server.out.expect(name.encode())

    def assert_ends(self, server, number=signal.SIGTERM, status=0):
        server.signal(number)
        self.assertEqual(server.status(), status, server.err.rest())
        self.assertEqual(server.err.rest(), b"")

    def test_the_conversation_reads_as_the_original_one_does(self):
        server = self.server()
        client = self.client(server.address)
        client.sendall("hello, 世界\n".encode())
        self.assertEqual(self.receive(client, len(REPLY)), REPLY)
        client.close()
        self.assert_ends(server)
        self.assertRegex(
            server.out.rest().decode(),
            r"^Server start at: 127\.0\.0\.1:\d+\nwait for connection\.\.\.\n"
            r"Connected by 127\.0\.0\.1:\d+\nhello, 世界\n$")

    def test_every_piece_is_answered(self):
        server = self.server()
        client = self.client(server.address)
        for piece in (b"a", b"\n", b"\0\xff" * 100):
            client.sendall(piece)
            self.assertEqual(self.receive(client, len(REPLY)), REPLY)

    def test_what_comes_is_shown_when_it_comes_and_byte_for_byte(self):
        server = self.server()
        client = self.client(server.address)
        before = self.connected(server, client).end()
        data = bytes(range(256))
        for i in range(0, 256, 64):
            client.sendall(data[i:i + 64])
            server.out.expect(b"(?s).{%d}" % (i + 64), before)
        self.assertEqual(server.out.data[before:], data)

    def test_the_answer_can_be_chosen_or_be_what_came_or_nothing(self):
        client = self.client(self.server("--reply", "十四 bytes").address)
        client.sendall(b"x")
        self.assertEqual(self.receive(client, 12), "十四 bytes".encode())

        client = self.client(self.server("--echo").address)
        client.sendall(b"\0binary\xff\n")
        self.assertEqual(self.receive(client, 9), b"\0binary\xff\n")

        client = self.client(self.server("--reply", "").address)
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(10), b"")

    def test_several_clients_are_served_at_once(self):
        server = self.server("--echo")
        clients = [self.client(server.address) for _ in range(20)]
        for i, client in enumerate(clients):
            client.sendall(b"client %d\n" % i)
        for i, client in reversed(list(enumerate(clients))):
            expected = b"client %d\n" % i
            self.assertEqual(self.receive(client, len(expected)), expected)
        for i in range(20):
            server.out.expect(b"client %d\n" % i)

    def test_in_serial_mode_one_client_follows_the_other(self):
        server = self.server("--mode", "serial")
        first = self.client(server.address)
        self.connected(server, first)
        second = self.client(server.address)
        second.sendall(b"second\n")
        first.sendall(b"first\n")
        self.assertEqual(self.receive(first, len(REPLY)), REPLY)
        self.assertNotIn(b"second", server.out.data)
        first.close()
        self.assertEqual(self.receive(second, len(REPLY)), REPLY)
        server.out.expect(b"second\n")

    def test_signals_end_it_with_clients_connected_and_in_both_modes(self):
        for mode in ("threads", "serial"):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                server = self.server("--mode", mode)
                client = self.client(server.address)
                self.connected(server, client)
                self.assert_ends(server, number)
                self.assertEqual(client.recv(1), b"")

    def test_a_reset_ends_a_client_and_not_the_server(self):
        server = self.server()
        for i in range(10):
            client = self.client(server.address)
            self.connected(server, client)
            client.sendall(b"x\n")
            if i % 2:
                self.receive(client, len(REPLY))
            reset(client)
        client = self.client(server.address)
        client.sendall(b"still there\n")
        self.assertEqual(self.receive(client, len(REPLY)), REPLY)
        self.assert_ends(server)

    def test_a_killed_client_does_not_end_the_server(self):
        server = self.server()
        client = self.krait("connect", server.address)
        client.write(b"hello\n")
        client.out.expect(REPLY)
        client.process.kill()
        client.status()
        other = self.client(server.address)
        other.sendall(b"x")
        self.assertEqual(self.receive(other, len(REPLY)), REPLY)

    def test_idle_connections_end_after_the_timeout(self):
        server = self.server("--timeout", "50ms", "--verbose")
        client = self.client(server.address)
        self.assertEqual(client.recv(1), b"")
        server.err.expect(rb"krait: 127\.0\.0\.1:\d+ was idle for 0\.05 s")

    def test_verbose_says_what_is_served_and_how_clients_leave(self):
        server = self.server("--verbose", "--echo", "--timeout", "9")
        server.err.expect(rb"krait: Krait [\d.]+ serves " +
                          server.address.encode() +
                          rb", mode threads, answer what came, timeout 9 s\n")
        client = self.client(server.address)
        client.sendall(b"abc")
        self.receive(client, 3)
        client.close()
        server.err.expect(rb"has finished, after 3 bytes\n")
        client = self.client(server.address)
        self.connected(server, client)
        reset(client)
        server.err.expect(rb"Connection reset by peer")

    def test_quiet_prints_nothing_and_serves_all_the_same(self):
        path = self.path("quiet")
        server = self.krait("serve", "--quiet", "--verbose", "unix:" + path)
        server.err.expect(rb"serves")
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        client.connect(path)
        client.sendall(b"x")
        self.assertEqual(self.receive(client, len(REPLY)), REPLY)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.status(), 0)
        self.assertEqual(server.out.rest(), b"")

    def test_quiet_needs_no_stdout(self):
        with open("/dev/full", "wb") as full:
            server = self.krait("serve", "--quiet", "--verbose",
                                "127.0.0.1:0", stdout=full)
        found = server.err.expect(rb"serves (127.0.0.1:\d+),")
        client = self.client(found.group(1).decode())
        client.sendall(b"x")
        self.assertEqual(self.receive(client, len(REPLY)), REPLY)

    def test_a_line_of_the_servers_never_continues_a_clients(self):
        server = self.server()
        first = self.client(server.address)
        first.sendall(b"no newline")
        self.assertEqual(self.receive(first, len(REPLY)), REPLY)
        self.client(server.address)
        server.out.expect(rb"no newline\nConnected by ")


class Datagrams(CommandTest):
    def test_each_datagram_is_shown_and_answered(self):
        server = self.server(address="udp:127.0.0.1:0")
        host, port = server.address.rsplit(":", 2)[-2:]
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        client.connect((host, int(port)))
        for text in (b"one\n", b"two\n", b"", b"x" * 60000 + b"\n"):
            client.send(text)
            self.assertEqual(client.recv(100), REPLY)
        server.out.expect(b"one\ntwo\nx{60000}\n")

    def test_unix_datagrams_and_records_work_too(self):
        for kind, type_ in (("udp", socket.SOCK_DGRAM),
                            ("seqpacket", socket.SOCK_SEQPACKET)):
            path = self.path(kind)
            server = self.server("--echo", address=kind + ":unix:" + path)
            client = socket.socket(socket.AF_UNIX, type_)
            self.addCleanup(client.close)
            client.settimeout(PATIENCE)
            client.bind("")
            client.connect(path)
            for text in (b"one\n", b"x" * 60000):
                client.send(text)
                self.assertEqual(client.recv(65536), text)
            server.out.expect(b"one\n")

    def test_an_answer_that_nobody_takes_does_not_end_the_server(self):
        path = self.path("datagrams")
        server = self.server(address="udp:unix:" + path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"no address\n", path)
            server.out.expect(b"no address\n")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.bind("")
            client.sendto(b"x", path)
            self.assertEqual(client.recv(100), REPLY)


class Addresses(CommandTest):
    def test_a_port_that_is_taken_is_said_with_what_to_do(self):
        _, address = self.listener()
        status, out, err = self.run_krait("serve", address)
        self.assertEqual((status, out), (6, b""))
        self.assert_one_line(err, address.encode(), b"Address already in use",
                             b"ss -ltnp")

    def test_an_address_of_another_host_can_not_be_served(self):
        status, out, err = self.run_krait("serve", "192.0.2.1:0")
        self.assertEqual((status, out), (6, b""))
        self.assert_one_line(err, b"192.0.2.1:0")

    def test_every_address_of_the_host_is_ipv6_and_ipv4(self):
        server = self.server(address=":0")
        port = server.address.rsplit(":", 1)[1]
        client = self.client("127.0.0.1:" + port)
        client.sendall(b"x")
        self.assertEqual(self.receive(client, len(REPLY)), REPLY)

    def test_an_abstract_name_is_served(self):
        name = "krait-test-%d" % os.getpid()
        self.server(address="unix:@" + name)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect("\0" + name)
            client.sendall(b"x")
            self.assertEqual(self.receive(client, len(REPLY)), REPLY)

    def test_a_socket_file_goes_with_its_server(self):
        path = self.path("socket")
        server = self.server(address="unix:" + path)
        self.assertTrue(os.path.exists(path))
        server.signal(signal.SIGINT)
        self.assertEqual(server.status(), 0)
        self.assertFalse(os.path.exists(path))

    def test_a_stale_socket_file_is_replaced(self):
        path = self.path("stale")
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(path)
        server = self.server(address="unix:" + path)
        self.assertEqual(server.address, "unix:" + path)

    def test_a_killed_servers_file_is_replaced(self):
        path = self.path("killed")
        server = self.server(address="unix:" + path)
        server.process.kill()
        server.status()
        self.assertTrue(os.path.exists(path))
        self.server(address="unix:" + path)

    def test_a_live_socket_is_left_alone(self):
        path = self.path("live")
        self.server("--echo", address="unix:" + path)
        status, out, err = self.run_krait("serve", "unix:" + path)
        self.assertEqual((status, out), (6, b""))
        self.assert_one_line(err, path.encode(), b"Address already in use")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(path)
            client.sendall(b"alive")
            self.assertEqual(self.receive(client, 5), b"alive")

    def test_a_file_that_is_no_socket_is_left_alone(self):
        path = self.path("file")
        with open(path, "w") as file:
            file.write("precious")
        status, out, err = self.run_krait("serve", "unix:" + path)
        self.assertEqual((status, out), (6, b""))
        self.assert_one_line(err, path.encode())
        with open(path) as file:
            self.assertEqual(file.read(), "precious")

    def test_a_path_that_can_not_be_made_is_said(self):
        path = self.path("no/such/folder")
        status, out, err = self.run_krait("serve", "unix:" + path)
        self.assertEqual((status, out), (6, b""))
        self.assert_one_line(err, path.encode(), b"No such file")


class Output(CommandTest):
    def server_without_stdout(self, stdout):
        path = self.path("socket%d" % id(stdout))
        server = self.krait("serve", "--verbose", "unix:" + path,
                            stdout=stdout)
        return server, path

    def test_a_full_disk_ends_the_server_with_one_line(self):
        with open("/dev/full", "wb") as full:
            server, _ = self.server_without_stdout(full)
        self.assertEqual(server.status(), 7)
        err = server.err.rest()
        self.assertEqual(err.count(b"krait: stdout: No space left"), 1, err)

    def test_a_closed_pipe_ends_the_server_and_the_client_gets_no_answer(self):
        path = self.path("pipe")
        server = self.krait("serve", "unix:" + path)
        server.out.expect(b"wait for connection")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(path)
            server.out.expect(b"Connected by")
            server.process.stdout.close()
            server.process.stdout = None
            client.sendall(b"lost?\n")
            try:
                self.assertEqual(client.recv(100), b"")
            except ConnectionResetError:
                pass
        self.assertEqual(server.status(), 7)
        self.assert_one_line(server.err.rest(), b"stdout: Broken pipe")
        self.assertFalse(os.path.exists(path))

    def test_a_stdout_that_nobody_reads_does_not_keep_a_signal_waiting(self):
        server = self.server()
        client = self.client(server.address)
        client.settimeout(0.2)
        try:
            while True:
                client.sendall(b"x" * 65536)
        except TimeoutError:
            pass
        server.signal(signal.SIGTERM)
        self.assertIn(server.status(), (0, 7))
        self.assert_one_line(server.err.rest(), b"stdout")

    def test_megabytes_of_many_clients_arrive_whole(self):
        server = self.server("--reply", "")
        size = 1 << 20

        def send(letter):
            with socket.create_connection(
                    ("127.0.0.1", int(server.address.rsplit(":")[-1])),
                    PATIENCE) as sock:
                sock.sendall(letter * size)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1)

        senders = [threading.Thread(target=send, args=(letter,))
                   for letter in (b"V", b"W", b"X", b"Y")]
        for sender in senders:
            sender.start()
        # The server's own lines have none of these letters.
        def count():
            return sum(server.out.data.count(c) for c in (b"V", b"W", b"X",
                                                          b"Y"))

        deadline = time.monotonic() + PATIENCE
        while server.out.data.count(b"V") < size or count() < 4 * size:
            self.assertTrue(server.out.read(deadline), count())
        for sender in senders:
            sender.join(PATIENCE)
        self.assertEqual(count(), 4 * size)


class AtATerminal(CommandTest):
    @needs_signals
    def test_control_bytes_are_shown_and_split_characters_put_together(self):
        path = self.path("socket")
        server = self.terminal("serve", "unix:" + path, columns=100)
        server.out.expect(b"wait for connection")
        first = socket.socket(socket.AF_UNIX)
        second = socket.socket(socket.AF_UNIX)
        for client in (first, second):
            self.addCleanup(client.close)
            client.settimeout(PATIENCE)
            client.connect(path)

        def say(client, data):
            client.sendall(data)
            self.assertEqual(self.receive(client, len(REPLY)), REPLY)

        say(first, "世".encode()[:1])
        say(second, "界".encode()[:2])
        say(first, "世".encode()[1:] + b"\n")
        say(second, "界".encode()[2:] + b"\n")
        say(first, b"\x1b]0;owned\x07\x7f\r\xff\xc2\x9b\t.\n")
        say(first, b"\xe4\xb8")
        first.close()
        server.await_picture(lambda p: p.lines()[-4:] == [
            "世", "界",
            "\\x1B]0;owned\\x07\\x7F\\x0D\\xFF\\xC2\\x9B".ljust(40) + ".",
            "\\xE4\\xB8"])
        server.type(b"\x03")
        self.assertEqual(server.status(), 0)


if __name__ == "__main__":
    main()
