# SPDX-License-Identifier: MIT
"""What the checks of examples/ share: programs as child processes, whose
output is waited for, never slept for, and which are ended by their number."""

import os
import select
import subprocess
import sys
import time
import unittest

PATIENCE = 30.0  # seconds until something counts as hanging
ANSWER = b"server received you message."
PROMPT = b"Please input msg:"

TESTS = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("KRAIT_SOURCE", os.path.dirname(TESTS))
BUILD = os.environ.get("KRAIT_BUILD", os.path.join(SOURCE, "build"))


def example(name):
    """A program of examples/ as it was built."""
    return [os.path.join(BUILD, "examples", name)]


def stock(name):
    """Its form in stock Python 3, run by the interpreter that runs us."""
    return [sys.executable, os.path.join(SOURCE, "examples", "python", name)]


class Program:
    """A child, its stdout and stderr read as they come."""

    def __init__(self, command, stdin=None):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE if stdin is None else stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out = b""
        self.err = b""
        self.open = {self.process.stdout.fileno(): "out",
                     self.process.stderr.fileno(): "err"}

    def read(self, until):
        """Reads a piece; False where time is over or nothing more comes."""
        left = until - time.monotonic()
        if left <= 0 or not self.open:
            return False
        for fd in select.select(list(self.open), [], [], left)[0]:
            piece = os.read(fd, 65536)
            name = self.open[fd]
            setattr(self, name, getattr(self, name) + piece)
            if not piece:
                del self.open[fd]
        return True

    def expect(self, text, where="out"):
        """Waits until `text` has come; returns what came so far."""
        until = time.monotonic() + PATIENCE
        while text not in getattr(self, where):
            if not self.read(until):
                raise AssertionError(f"{text!r} does not come: {self.out!r}, "
                                     f"{self.err!r}")
        return getattr(self, where)

    def line(self, beginning):
        """The rest of the line that begins so, once it is complete."""
        until = time.monotonic() + PATIENCE
        while True:
            for line in self.out.split(b"\n")[:-1]:
                if line.startswith(beginning):
                    return line[len(beginning):].decode()
            if not self.read(until):
                raise AssertionError(f"{beginning!r} does not come: "
                                     f"{self.out!r}, {self.err!r}")

    def say(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def finish(self):
        """Its status, when it has ended of itself."""
        until = time.monotonic() + PATIENCE
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        while self.open and self.read(until):
            pass
        return self.process.wait(max(0.1, until - time.monotonic()))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout,
                     self.process.stderr):
            if pipe:
                pipe.close()


class PeerTest(unittest.TestCase):
    maxDiff = None

    def program(self, command, stdin=None):
        if command[0].endswith("-cpp") and not os.path.exists(command[0]):
            self.skipTest("there was no C++ compiler to build it with")
        program = Program(command, stdin)
        self.addCleanup(program.end)
        return program

    def run_client(self, command, lines):
        """A client with these lines typed: its status and what it printed."""
        client = self.program(command)
        client.say(lines)
        status = client.finish()
        return status, client.out, client.err


def main():
    """Runs the module's tests; 77 where all of them were skipped."""
    result = unittest.main(verbosity=2, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and
             len(result.skipped) == result.testsRun else 0)
