# SPDX-License-Identifier: MIT
"""tools/gdb/krait.py: gdb lists the fibers of a program that has stopped, and
shows where each of them waits."""

import os
import re
import select
import shutil
import signal
import socket
import sys
import time

from cli_support import children
from peers_support import (ANSWER, PATIENCE, SOURCE, PeerTest, example, main)

SCRIPT = os.path.join(SOURCE, "tools", "gdb", "krait.py")


def await_asleep(pid):
    """Until each of its threads sleeps: all its fibers wait then."""
    until = time.monotonic() + PATIENCE
    tasks = "/proc/%d/task" % pid
    while time.monotonic() < until:
        states = set()
        for task in os.listdir(tasks):
            with open(os.path.join(tasks, task, "stat")) as stat:
                states.add(stat.read().rpartition(")")[2].split()[0])
        if states == {"S"}:
            return
        select.select([], [], [], 0.002)
    raise AssertionError("process %d does not come to rest" % pid)


class Gdb(PeerTest):
    def stopped(self, *commands, at=None):
        """What gdb prints for these, with fiber_server stopped while it serves
        a client, when all wait or at a function; and the client's address."""
        args = ["gdb", "-nx", "-q", "-batch", "-ex", "set width 0",
                "-ex", "set startup-with-shell off",
                "-ex", "set debuginfod enabled off",
                "-ex", "handle SIGUSR1 stop print nopass",
                "-ex", "source " + SCRIPT]
        before = ["break " + at, "run"] if at else ["run"]
        for command in (*before, *commands, "kill"):
            args += ["-ex", command]
        gdb = self.program(args + ["--args"] + example("fiber_server") +
                           ["127.0.0.1:0"])
        port = gdb.line(b"Server start at: 127.0.0.1:")
        server, = children(gdb.process.pid)
        self.addCleanup(self.gone, server)
        with socket.create_connection(("127.0.0.1", int(port)),
                                      PATIENCE) as client:
            client.sendall(b"hello\n")
            if not at:
                self.assertEqual(client.recv(1024), ANSWER)
                await_asleep(server)
                os.kill(server, signal.SIGUSR1)
            gdb.finish()
            self.err = gdb.err.decode()
            return gdb.out.decode(), "%s:%d" % client.getsockname()

    @staticmethod
    def gone(server):
        """gdb's child, should gdb have left it."""
        try:
            os.kill(server, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_the_fibers_are_listed_with_what_they_wait_for(self):
        out, client = self.stopped("krait fibers")
        self.assertRegex(out, r"\n +[12] +[0-9]+  recv     %s +0x[0-9a-f]+  "
                         r"talk\n" % client)
        self.assertRegex(out, r"\baccept +main +0x[0-9a-f]+ +serve\n")
        self.assertRegex(out, r"\n +[12] +[0-9]+  accept   ")

    def test_each_shows_its_calls_and_variables(self):
        out, _ = self.stopped("krait fiber 1", "krait fiber 2",
                              "krait fiber 2 frame function krait_run_sized",
                              "bt 1")
        for call in "krait_recv ", "talk ", "krait_accept ", "serve ":
            self.assertRegex(out, r"\n#[0-9]+ .*\b%s\(" % call)
        # The thread's own frames come back afterwards, and weren't in between.
        # clang's assembler makes gdb take the name for one of Ada's.
        self.assertEqual(
            len(re.findall(r" krait(?:__|\.)context_begin ", out)), 2, out)

    def test_one_that_runs_is_found_on_its_thread(self):
        out, client = self.stopped("krait fibers runs", "krait fiber 1",
                                   at="krait_sendstr")
        self.assertRegex(out, r"\n +1 +[0-9]+  runs     %s " % client)
        self.assertRegex(out, r"\n#0 .*\bkrait_sendstr \(")
        self.assertRegex(out, r"\n#1 .*\btalk \(")

    def test_a_fiber_that_is_none_is_said_to_be_none(self):
        out, _ = self.stopped("krait fiber 3", "krait fiber nonsense")
        self.assertNotIn(" talk ", out)
        self.assertIn("no such fiber", self.err)
        self.assertIn("krait fiber NUMBER|ADDRESS", self.err)


if __name__ == "__main__":
    if os.environ.get("KRAIT_SANITIZE"):
        print("skipped: an instrumented program has more threads and frames")
        sys.exit(77)
    if not shutil.which("gdb"):
        print("skipped: gdb is not installed")
        sys.exit(77)
    with open(example("fiber_server")[0], "rb") as program:
        if b"krait__context_parked" not in program.read():
            print("skipped: fibers are switched by ucontext(3), which leaves "
                  "gdb nothing to find")
            sys.exit(77)
    main()
