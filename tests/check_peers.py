# SPDX-License-Identifier: MIT
"""The programs of examples/ with each other, with their forms in stock Python
3, and with ncat and socat at the other end: both ways."""

import shutil
import socket
import struct
import threading
import unittest

from peers_support import (ANSWER, PATIENCE, PROMPT, PeerTest, example, main,
                           stock)

LINES = "hello\n\n你好，世界\n".encode()  # an empty line is a message too
DIALOGUE = (PROMPT + ANSWER + b"\n") * 3 + PROMPT


class Server(PeerTest):
    """examples/server.c."""

    def server(self):
        server = self.program(example("server") + ["127.0.0.1:0"])
        address = server.line(b"Server start at: ")
        server.expect(b"wait for connection...\n")
        return server, int(address.rpartition(":")[2])

    def test_stock_python_s_client_talks_to_it(self):
        server, port = self.server()
        status, out, err = self.run_client(stock("client.py") + [str(port)],
                                           LINES)
        self.assertEqual((status, out, err), (0, DIALOGUE, b""))
        server.line(b"Connected by 127.0.0.1:")
        server.expect(LINES)

    def test_our_client_talks_to_it(self):
        server, port = self.server()
        status, out, err = self.run_client(
            example("client") + [f"127.0.0.1:{port}"], LINES)
        self.assertEqual((status, out, err), (0, DIALOGUE, b""))
        server.expect(LINES)

    def test_it_serves_one_client_after_another(self):
        server, port = self.server()
        for i in range(5):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
                s.sendall(b"client %d\n" % i)
                self.assertEqual(s.recv(1024), ANSWER)
                server.expect(b"client %d\n" % i)
        self.assertEqual(server.out.count(b"Connected by "), 5)

    def test_a_character_in_two_pieces_arrives_whole(self):
        server, port = self.server()
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
            for piece in (b"\xe4\xbd", b"\xa0\n"):
                s.sendall(piece)
                self.assertEqual(s.recv(1024), ANSWER)
        server.expect("你\n".encode())

    def test_a_client_that_resets_ends_only_itself(self):
        server, port = self.server()
        s = socket.create_connection(("127.0.0.1", port), PATIENCE)
        s.sendall(b"last words\n")
        server.expect(b"last words\n")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                     struct.pack("ii", 1, 0))
        s.close()
        server.expect(b"Connection reset by peer", "err")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
            s.sendall(b"next\n")
            self.assertEqual(s.recv(1024), ANSWER)

    def test_a_port_that_is_taken_is_said_in_one_line(self):
        _, port = self.server()
        second = self.program(example("server") + [f"127.0.0.1:{port}"])
        self.assertEqual(second.finish(), 1)
        self.assertEqual(second.out, b"")
        self.assertIn(b"server: bind 127.0.0.1:%d: Address already in use"
                      % port, second.err)
        self.assertIn(b"ss -ltnp", second.err)
        self.assertEqual(second.err.count(b"\n"), 1)

    def test_an_address_that_is_none_is_said(self):
        server = self.program(example("server") + ["nonsense"])
        self.assertEqual(server.finish(), 1)
        self.assertIn(b"nonsense", server.err)

    @unittest.skipUnless(shutil.which("ncat"), "ncat is not installed")
    def test_ncat_talks_to_it(self):
        server, port = self.server()
        ncat = self.program(["/usr/bin/env", "ncat", "127.0.0.1", str(port)])
        ncat.say(b"from ncat\n")
        ncat.expect(ANSWER)
        self.assertEqual(ncat.finish(), 0)
        server.expect(b"from ncat\n")

    @unittest.skipUnless(shutil.which("socat"), "socat is not installed")
    def test_socat_talks_to_it(self):
        server, port = self.server()
        socat = self.program(["/usr/bin/env", "socat", "-",
                              f"TCP4:127.0.0.1:{port}"])
        socat.say(b"from socat\n")
        socat.expect(ANSWER)
        self.assertEqual(socat.finish(), 0)
        server.expect(b"from socat\n")


class Client(PeerTest):
    """examples/client.c."""

    def test_it_talks_to_stock_python_s_server(self):
        server = self.program(stock("server.py") + ["0"])
        address = server.line(b"Server start at: ")
        status, out, err = self.run_client(example("client") + [address],
                                           LINES)
        self.assertEqual((status, out, err), (0, DIALOGUE, b""))
        server.line(b"Connected by 127.0.0.1:")
        server.expect(LINES)

    def test_both_clients_and_both_servers_print_the_same(self):
        seen = []
        for command, address in ((stock("server.py"), "0"),
                                 (example("server"), "127.0.0.1:0")):
            server = self.program(command + [address])
            port = server.line(b"Server start at: 127.0.0.1:")
            for client in (stock("client.py") + [port],
                           example("client") + [f"127.0.0.1:{port}"]):
                status, out, err = self.run_client(client, LINES)
                peer = server.line(b"Connected by 127.0.0.1:").encode()
                server.expect(LINES)
                seen.append((status, out, err, server.out.replace(
                    port.encode(), b"PORT").replace(peer, b"PEER")))
                server.out = b"Server start at: 127.0.0.1:%s\n" % port.encode()
                server.out += b"wait for connection...\n"
        self.assertEqual(seen, seen[:1] * 4)

    def test_nobody_there_is_said_in_one_line(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))  # so that nobody else gets the port
            address = "127.0.0.1:%d" % s.getsockname()[1]
            status, out, err = self.run_client(example("client") + [address],
                                               b"")
        self.assertEqual((status, out), (1, b""))
        self.assertIn(b"client: connect %s: Connection refused"
                      % address.encode(), err)
        self.assertEqual(err.count(b"\n"), 1)

    def test_a_server_that_leaves_ends_it(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            s.settimeout(PATIENCE)
            client = self.program(example("client") +
                                  ["127.0.0.1:%d" % s.getsockname()[1]])
            conn, _ = s.accept()
            client.expect(PROMPT)
            client.say(b"hello\n")
            self.assertEqual(conn.recv(1024), b"hello\n")
            conn.close()
            self.assertEqual(client.finish(), 0)

    def test_a_server_that_resets_is_said(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            s.settimeout(PATIENCE)
            client = self.program(example("client") +
                                  ["127.0.0.1:%d" % s.getsockname()[1]])
            conn, _ = s.accept()
            client.say(b"hello\n")
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
            conn.recv(1024)
            conn.close()
            self.assertEqual(client.finish(), 1)
            self.assertIn(b"Connection reset by peer", client.err)

    @unittest.skipUnless(shutil.which("ncat"), "ncat is not installed")
    def test_it_talks_to_ncat(self):
        # ncat doesn't tell which port 0 became: one is found, and given up.
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        ncat = self.program(["/usr/bin/env", "ncat", "-v", "-l", "127.0.0.1",
                             str(port)])
        ncat.expect(b"Listening on 127.0.0.1:", "err")
        client = self.program(example("client") + [f"127.0.0.1:{port}"])
        client.say(b"to ncat\n")
        ncat.expect(b"to ncat\n")
        ncat.say(b"from ncat")
        client.expect(b"from ncat\n")
        self.assertEqual(client.finish(), 0)

    @unittest.skipUnless(shutil.which("socat"), "socat is not installed")
    def test_it_talks_to_socat(self):
        socat = self.program(["/usr/bin/env", "socat", "-d", "-d", "-",
                              "TCP4-LISTEN:0,bind=127.0.0.1"])
        socat.expect(b"listening on AF=2 127.0.0.1:", "err")
        socat.expect(b"\n", "err")
        port = socat.err.split(b"127.0.0.1:")[1].split()[0].decode()
        client = self.program(example("client") + [f"127.0.0.1:{port}"])
        client.say(b"to socat\n")
        socat.expect(b"to socat\n")
        socat.say(b"from socat")
        client.expect(b"from socat\n")
        self.assertEqual(client.finish(), 0)


class ServerCpp(PeerTest):
    """examples/server.cpp: a handler, in threads."""

    def test_many_stock_clients_talk_to_it_at_once(self):
        server = self.program(example("server-cpp") + ["127.0.0.1:0"])
        port = int(server.line(b"Server start at: 127.0.0.1:"))
        clients = [socket.create_connection(("127.0.0.1", port), PATIENCE)
                   for _ in range(30)]
        for s in clients + clients[::-1]:  # all stay connected
            s.sendall(b"hello\n")
            self.assertEqual(s.recv(1024), ANSWER)
        for s in clients:
            s.close()

    def test_stock_python_s_client_talks_to_it(self):
        server = self.program(example("server-cpp") + ["127.0.0.1:0"])
        port = server.line(b"Server start at: 127.0.0.1:")
        status, out, err = self.run_client(stock("client.py") + [port], LINES)
        self.assertEqual((status, out, err), (0, DIALOGUE, b""))

    def test_clients_in_threads_each_get_their_answers(self):
        server = self.program(example("server-cpp") + ["127.0.0.1:0"])
        port = int(server.line(b"Server start at: 127.0.0.1:"))
        answers = []

        def talk():
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
                for _ in range(20):
                    s.sendall(b"x")
                    answers.append(s.recv(1024))

        threads = [threading.Thread(target=talk) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [ANSWER] * 200)


class Frames(PeerTest):
    """examples/frames.c, and stock Python at the other end."""

    def connect(self):
        server = self.program(example("frames") + ["127.0.0.1:0"])
        address = server.line(b"The server is at ")
        port = int(address.rpartition(":")[2])
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(sock.close)
        return server, sock

    @staticmethod
    def pack(message):
        return struct.pack("!I", len(message)) + message

    def test_messages_come_back(self):
        _, sock = self.connect()
        messages = [b"hello", b"", bytes(range(256)) * 16, b"x"]
        wire = b"".join(map(self.pack, messages))
        sock.sendall(wire)
        self.assertEqual(sock.makefile("rb").read(len(wire)), wire)

    def test_a_message_may_come_byte_by_byte(self):
        _, sock = self.connect()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = self.pack(b"piecemeal") + self.pack(b"")
        for byte in wire:
            sock.sendall(bytes([byte]))
        self.assertEqual(sock.makefile("rb").read(len(wire)), wire)

    def test_a_claimed_length_is_refused(self):
        server, sock = self.connect()
        sock.sendall(b"\xff\xff\xff\xff")
        server.expect(b"recv_frame 127.0.0.1", "err")
        server.expect(b"longer than there is room for", "err")
        self.assertEqual(sock.recv(1), b"")

    def test_a_message_that_is_cut_off_is_said(self):
        server, sock = self.connect()
        sock.sendall(self.pack(b"half of it")[:7])
        sock.shutdown(socket.SHUT_WR)
        server.expect(b"finished in the middle", "err")
        self.assertEqual(sock.recv(1), b"")


if __name__ == "__main__":
    main()
