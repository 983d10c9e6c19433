# SPDX-License-Identifier: MIT
"""`krait` with programs that nobody here wrote at the other end: ncat, socat,
and the two programs of Python's documentation in their stock form.

ctest: timeout=120
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time

from cli_support import (CommandTest, KRAIT, PATIENCE, PROMPT, REPLY,
                         environment, main)

BINARY = os.urandom(1 << 16) * 48  # 3 MB

PYTHON_SERVER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
    s.bind(("127.0.0.1", 0))
    s.listen(1)
    print("Server start at: %s:%d" % s.getsockname(), flush=True)
    print("wait for connection...", flush=True)
    conn, addr = s.accept()
    with conn:
        print("Connected by", addr, flush=True)
        while True:
            data = conn.recv(1024)
            if not data:
                break
            print(data.decode(), end="", flush=True)
            conn.send(b"server received you message.")
"""

PYTHON_CLIENT = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
    s.connect(("127.0.0.1", int(sys.argv[1])))
    for line in sys.stdin:
        s.send(line.encode())
        print(s.recv(1024).decode(), flush=True)
"""


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Python(CommandTest):
    def test_the_stock_server_answers_our_dialogue(self):
        server = self.program(sys.executable, "-c", PYTHON_SERVER)
        found = server.out.expect(rb"start at: (.*)\nwait for")
        status, out, err = self.run_krait("connect", "--prompt",
                                          found.group(1).decode(),
                                          stdin="hello\n世界\n".encode())
        self.assertEqual((status, err), (0, b""))
        self.assertEqual(out, PROMPT + b"hello\n" + REPLY + b"\n" + PROMPT +
                         "世界\n".encode() + REPLY + b"\n" + PROMPT + b"\n")
        self.assertEqual(server.status(), 0)
        server.out.expect("hello\n世界\n".encode())

    def test_the_stock_client_is_answered_by_our_server(self):
        server = self.server()
        port = server.address.rsplit(":", 1)[1]
        done = subprocess.run([sys.executable, "-c", PYTHON_CLIENT, port],
                              input="hello\n世界\n".encode(),
                              capture_output=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, 2 * (REPLY + b"\n"))
        server.out.expect("hello\n世界\n".encode())


class Netcats(CommandTest):
    def need(self, name):
        path = shutil.which(name)
        if not path:
            self.skipTest("%s isn't installed" % name)
        return path

    def send_and_receive(self, command, server_args, address_of, sent):
        """What a foreign client gets from our server."""
        server = self.server(*server_args)
        done = subprocess.run(command + address_of(server.address),
                              input=sent, capture_output=True,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return server, done.stdout

    def test_ncat_and_socat_talk_to_our_server(self):
        for name, arguments in (
                ("ncat", lambda a: a.rsplit(":", 1)),
                ("socat", lambda a: ["-t30", "-", "TCP:" + a])):
            with self.subTest(name):
                path = self.need(name)
                server, out = self.send_and_receive(
                    [path], ["--echo"], arguments, b"hello\0\xff\n")
                self.assertEqual(out, b"hello\0\xff\n")
                server.out.expect(rb"hello\0\xff\n")

    def test_megabytes_from_ncat_and_socat_arrive_whole(self):
        for name, arguments in (
                ("ncat", lambda a: ["--send-only", *a.rsplit(":", 1)]),
                ("socat", lambda a: ["-u", "-", "TCP:" + a])):
            with self.subTest(name):
                path = self.need(name)
                with open(self.path(name), "w+b") as file:
                    server = self.krait("serve", "--reply", "", "--verbose",
                                        "127.0.0.1:0", stdout=file)
                    address = server.err.expect(
                        rb"serves (.*), mode").group(1).decode()
                    done = subprocess.run([path] + arguments(address),
                                          input=BINARY, timeout=PATIENCE)
                    self.assertEqual(done.returncode, 0)
                    server.err.expect(rb"has finished, after %d bytes" %
                                      len(BINARY))
                    file.seek(0)
                    data = file.read().split(b"\n", 3)[3]
                    self.assertEqual(digest(data), digest(BINARY))

    def listening(self, name, path):
        """A foreign server that sends BINARY and then takes what comes."""
        address = "unix:" + self.path(name)
        if name == "ncat":
            command = [path, "-l", "-U", self.path(name)]
        else:
            command = [path, "-t30", "UNIX-LISTEN:" + self.path(name), "-"]
        with open(self.path("in"), "wb") as file:
            file.write(BINARY)
        with open(self.path("in"), "rb") as source, \
                open(self.path("out"), "wb") as target:
            server = self.program(command[0], *command[1:], stdin=source,
                                  stdout=target)
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(self.path(name)):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(server.process.poll())
            os.sched_yield()
        return address

    def test_megabytes_go_both_ways_between_our_pipe_and_theirs(self):
        for name in ("ncat", "socat"):
            with self.subTest(name):
                self.talk(self.listening(name, self.need(name)))

    def talk(self, address):
        # The socket's file is there a moment before anybody listens.
        for _ in range(1000):
            done = subprocess.run([KRAIT, "connect", address],
                                  input=BINARY[::-1], capture_output=True,
                                  timeout=PATIENCE, env=environment())
            if done.returncode != 5:
                break
        self.assertEqual(done.stderr, b"")
        self.assertEqual(digest(done.stdout), digest(BINARY))

    def test_udp_from_socat_is_answered(self):
        path = self.need("socat")
        server = self.server(address="udp:127.0.0.1:0")
        port = server.address.rsplit(":", 1)[1]
        done = subprocess.run([path, "-t2", "-", "UDP:127.0.0.1:" + port],
                              input=b"hello\n", capture_output=True,
                              timeout=PATIENCE)
        self.assertEqual(done.stdout, REPLY)
        server.out.expect(b"hello\n")


if __name__ == "__main__":
    main()
