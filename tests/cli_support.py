# SPDX-License-Identifier: MIT
"""What the tests of the program share: running it, at a pipe or at a terminal.

Every wait has a limit, and every process that was started is ended by its
number. Ports are the kernel's choice, paths are in a directory of the test's.
"""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
import unittest

KRAIT = os.environ.get("KRAIT", "build/krait")
PATIENCE = 30.0  # seconds; nothing takes that long but a hang
REPLY = b"server received you message."
PROMPT = b"Please input msg:"


def environment(**changes):
    env = dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm", HOME="/nonexistent")
    env.pop("NO_COLOR", None)
    env.update(changes)
    return env


class Output:
    """The bytes that come out of an fd."""

    def __init__(self, fd):
        self.fd = fd
        self.data = b""
        self.ended = False

    def read(self, deadline):
        """One piece; False at the end or when time is over."""
        left = deadline - time.monotonic()
        if self.ended or left <= 0:
            return False
        if not select.select([self.fd], [], [], left)[0]:
            return False
        try:
            piece = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side of a pty has gone
            piece = b""
        self.data += piece
        self.ended = not piece
        return not self.ended

    def expect(self, pattern, after=0):
        """Waits for a regular expression; its match."""
        deadline = time.monotonic() + PATIENCE
        if isinstance(pattern, bytes):
            pattern = re.compile(pattern)
        while True:
            found = pattern.search(self.data, after)
            if found:
                return found
            if not self.read(deadline):
                found = pattern.search(self.data, after)
                if found:
                    return found
                raise AssertionError("%r didn't come: %r" %
                                     (pattern.pattern, self.data[-2000:]))

    def rest(self):
        """Everything up to the end."""
        deadline = time.monotonic() + PATIENCE
        while self.read(deadline):
            pass
        assert self.ended, "no end came: %r" % self.data[-2000:]
        return self.data


# gcc's ThreadSanitizer takes a signal that comes just before a system call
# which waits, and keeps it from the program meanwhile; the next one frees it. A
# signal that was not kept changes nothing by coming twice.
KEEPS_SIGNALS = "thread" in os.environ.get("KRAIT_SANITIZE", "")

# For tests in which a single signal, one of the program's own perhaps, has to
# reach a program that waits.
needs_signals = unittest.skipIf(
    KEEPS_SIGNALS, "gcc's ThreadSanitizer keeps signals from what waits")


class Program:
    """A running `krait`."""

    def __init__(self, test, *args, stdin=subprocess.PIPE,
                 stdout=subprocess.PIPE, command=None, env=None, **more):
        self.process = subprocess.Popen(
            [command or KRAIT, *args], stdin=stdin, stdout=stdout,
            stderr=subprocess.PIPE, env=env or environment(), bufsize=0,
            **more)
        test.addCleanup(self.end)
        if self.process.stdout:
            self.out = Output(self.process.stdout.fileno())
        self.err = Output(self.process.stderr.fileno())

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout,
                       self.process.stderr):
            if stream:
                try:
                    stream.close()
                except OSError:
                    pass

    def write(self, data):
        self.process.stdin.write(data)

    def close_stdin(self):
        self.process.stdin.close()

    def signal(self, number):
        self.process.send_signal(number)
        if KEEPS_SIGNALS:
            self.signal_again(number)

    def signal_again(self, number):
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.send_signal(number)

    def status(self):
        return self.process.wait(PATIENCE)


class Terminal:
    """`krait` at a terminal of its own, of which `screen` is the picture."""

    def __init__(self, test, *args, rows=24, columns=80, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                size = struct.pack("HHHH", rows, columns, 0, 0)
                fcntl.ioctl(0, termios.TIOCSWINSZ, size)
                os.execve(KRAIT, [KRAIT, *args], env or environment())
            finally:
                os._exit(127)
        self.ended_with = None
        test.addCleanup(self.end)
        self.out = Output(self.fd)
        self.rows, self.columns = rows, columns

    def type(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            data = data[os.write(self.fd, data):]

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def picture(self):
        return Picture(self.rows, self.columns).draw(self.out.data)

    def await_picture(self, wanted):
        """Waits until wanted(picture); the picture."""
        deadline = time.monotonic() + PATIENCE
        while True:
            picture = self.picture()
            if wanted(picture):
                return picture
            if not self.out.read(deadline):
                raise AssertionError("the screen is:\n%s" % picture)

    def await_lines(self, *lines):
        """Waits until these are the last lines on the screen."""
        return self.await_picture(
            lambda p: p.lines()[-len(lines):] == list(lines))

    def status(self):
        if self.ended_with is None:
            self.out.rest()
            self.ended_with = wait_for(self.pid)
        return self.ended_with

    def end(self):
        if self.ended_with is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.ended_with = wait_for(self.pid)
        self.hang_up()

    def hang_up(self):
        """Closes the terminal, as when its window is closed."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def wait_for(pid):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, how = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(how)
        select.select([], [], [], 0.002)
    raise AssertionError("process %d doesn't end" % pid)


def await_gone(pid):
    """Waits until a process that is not our child has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with open("/proc/%d/stat" % pid) as stat:
                if stat.read().rpartition(")")[2].split()[0] in "ZX":
                    return
        except (FileNotFoundError, ProcessLookupError):
            return
        select.select([], [], [], 0.002)
    raise AssertionError("process %d is still there" % pid)


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [int(child) for child in file.read().split()]


class Picture:
    """What a terminal shows: enough of xterm for what libedit sends."""

    SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([@-~])|\x1b[()].|\x1b.", re.S)

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns]
        self.row = self.column = 0
        self.top = 0  # the first row on the screen; above it is history
        self.wrap = False
        self.inserting = False

    def draw(self, data):
        text = data.decode("utf-8", "replace")
        at = 0
        while at < len(text):
            found = self.SEQUENCE.match(text, at)
            if found:
                self.control(found)
                at = found.end()
            else:
                self.character(text[at])
                at += 1
        return self

    def down(self):
        self.row += 1
        while self.row >= len(self.cells):
            self.cells.append([" "] * self.columns)
        self.top = max(self.top, self.row - self.rows + 1)

    def character(self, c):
        if c == "\r":
            self.column, self.wrap = 0, False
        elif c == "\n":
            self.wrap = False
            self.down()
        elif c == "\b":
            self.column, self.wrap = max(0, self.column - 1), False
        elif c == "\t":
            self.column = min(self.columns - 1, (self.column // 8 + 1) * 8)
        elif c >= " ":
            self.put(c)

    def put(self, c):
        width = 2 if unicodedata.east_asian_width(c) in "WF" else 1
        if self.wrap or self.column + width > self.columns:
            self.column, self.wrap = 0, False
            self.down()
        line = self.cells[self.row]
        if self.inserting:
            line[self.column:] = ([" "] * width + line[self.column:])
            del line[self.columns:]
        line[self.column] = c
        if width == 2:
            line[self.column + 1] = ""
        self.column += width
        if self.column >= self.columns:
            self.column, self.wrap = self.columns - 1, True

    def control(self, found):
        if not found.group(2):
            return
        numbers = [int(n or 0) for n in
                   (found.group(1) or "0").lstrip("?").split(";")]
        n = max(1, numbers[0])
        line = self.cells[self.row]
        kind = found.group(2)
        self.wrap = False
        if kind == "A":
            self.row = max(self.top, self.row - n)
        elif kind == "B":
            self.row = min(self.top + self.rows - 1, self.row + n)
        elif kind == "C":
            self.column = min(self.columns - 1, self.column + n)
        elif kind == "D":
            self.column = max(0, self.column - n)
        elif kind == "G":
            self.column = min(self.columns, n) - 1
        elif kind in "hl" and found.group(1) == "4":
            self.inserting = kind == "h"
        elif kind == "K":
            line[self.column:] = [" "] * (self.columns - self.column)
        elif kind == "J":
            line[self.column:] = [" "] * (self.columns - self.column)
            for below in self.cells[self.row + 1:]:
                below[:] = [" "] * self.columns
        elif kind == "P":
            line[self.column:] = (line[self.column + n:] + [" "] * n)
        elif kind == "@":
            line[self.column:] = ([" "] * n + line[self.column:])
            del line[self.columns:]
        elif kind not in "mhlt":
            raise AssertionError("a sequence that is not known: %r" %
                                 found.group(0))

    def lines(self):
        """What is shown, without what is empty at the end."""
        lines = ["".join(row).rstrip() for row in self.cells]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def __str__(self):
        return "\n".join("|" + line for line in self.lines())


class CommandTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="krait-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def path(self, name):
        return os.path.join(self.directory, name)

    def krait(self, *args, **more):
        return Program(self, *args, **more)

    def program(self, command, *args, **more):
        return Program(self, *args, command=command, **more)

    def terminal(self, *args, **more):
        return Terminal(self, *args, **more)

    def run_krait(self, *args, stdin=b"", **more):
        """To the end: status, stdout, stderr."""
        done = subprocess.run([KRAIT, *args], input=stdin,
                              capture_output=True, timeout=PATIENCE,
                              env=environment(), **more)
        return done.returncode, done.stdout, done.stderr

    def assert_one_line(self, err, *parts):
        """One diagnostic, in which these stand."""
        self.assertTrue(err.startswith(b"krait: "), err)
        self.assertEqual(err.count(b"\n"), 1, err)
        for part in parts:
            self.assertIn(part, err)

    def server(self, *args, address="127.0.0.1:0"):
        """A `krait serve` that waits, and its address."""
        server = self.krait("serve", *args, address)
        found = server.out.expect(rb"Server start at: (.*)\n"
                                  rb"wait for connection\.\.\.\n")
        server.address = found.group(1).decode()
        return server

    def listener(self):
        """A listening stock socket, and its address as text."""
        sock = socket.create_server(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        self.addCleanup(sock.close)
        return sock, "127.0.0.1:%d" % sock.getsockname()[1]

    def accept(self, listener):
        sock, _ = listener.accept()
        sock.settimeout(PATIENCE)
        self.addCleanup(sock.close)
        return sock

    def client(self, address):
        """A stock socket that is connected to a server's address."""
        host, port = address.rsplit(":", 1)
        sock = socket.create_connection((host, int(port)), PATIENCE)
        self.addCleanup(sock.close)
        return sock

    def receive(self, sock, size):
        data = b""
        while len(data) < size:
            piece = sock.recv(size - len(data))
            if not piece:
                break
            data += piece
        return data


def main():
    """0, 77 where everything was skipped, or 1."""
    if not os.access(KRAIT, os.X_OK):
        print("skipped: the program isn't built: %s" % KRAIT)
        sys.exit(77)
    program = unittest.main(verbosity=2, exit=False)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(0)
