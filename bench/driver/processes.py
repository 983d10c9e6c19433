# SPDX-License-Identifier: MIT
"""A server and its load generator, as processes: started, pinned, asked for
slices, and ended by their numbers, whatever happens."""

import ctypes
import functools
import os
import select
import signal
import subprocess
import tempfile
import time

START = 20          # s: until a server listens
CONNECT = 90        # s: until a load generator has all its connections
SLACK = 20          # s: what a slice may take longer than it should
END = 3             # s: between SIGTERM and SIGKILL

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Failed(Exception):
    """What the table says in place of a number."""


def cores():
    """The server's and the load generator's, which are not the two halves of
    one where it can be helped; None where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return None
    first = allowed[0]
    return first, next((core for core in allowed[1:]
                        if core not in siblings(first)), allowed[1])


def siblings(core):
    """The threads of its physical core, itself included."""
    path = f'/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list'
    try:
        with open(path, encoding='ascii') as file:
            text = file.read()
    except OSError:
        return {core}
    found = set()
    for part in text.strip().split(','):
        low, _, high = part.partition('-')
        found.update(range(int(low), int(high or low) + 1))
    return found


def _schedstat(pid):
    """(ns that it ran, ns that it was ready to run and another ran)"""
    try:
        with open(f'/proc/{pid}/schedstat', encoding='ascii') as file:
            ran, waited, _ = map(int, file.read().split())
            return ran, waited
    except (OSError, ValueError):
        return 0, 0


@functools.cache
def _softirqs(core):
    """The kernel's thread that does a core's network, when there is much of
    it: whoever waits for that waits for its own packets."""
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                if file.read().strip() == f'ksoftirqd/{core}':
                    return pid
        except (OSError, ValueError):
            pass
    return None


def waited(pid, core):
    """ns that a process has waited for its core while others had it: 0 where
    that can't be known, as for a server whose threads wait for each other."""
    try:
        if len(os.listdir(f'/proc/{pid}/task')) > 1:
            return 0
    except OSError:
        return 0
    return _schedstat(pid)[1] - _schedstat(_softirqs(core))[0]


class Process:
    """A child that says something by lines, and whose last complaint is kept.

    It has a session of its own, so that Ctrl-C is the driver's alone, and
    dies with the driver even if that is killed.
    """

    def __init__(self, command, core, environment=None):
        self.core = core
        self.pending = b''
        self.complaints = tempfile.TemporaryFile()
        parent = os.getpid()

        def prepare():
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)
            if core is not None:
                os.sched_setaffinity(0, {core})

        try:
            self.child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.complaints, preexec_fn=prepare,
                start_new_session=True, bufsize=0,
                env={**os.environ, **(environment or {})})
        except OSError as error:
            self.complaints.close()
            raise Failed(f'not started: {error.strerror}') from error

    @property
    def pid(self):
        return self.child.pid

    def say(self, text):
        try:
            self.child.stdin.write(text.encode())
        except BrokenPipeError as error:
            raise Failed(self.epitaph()) from error

    def line(self, seconds):
        """The next one, or Failed: it ended, or said nothing for so long."""
        deadline = time.monotonic() + seconds
        fd = self.child.stdout.fileno()
        while b'\n' not in self.pending:
            left = max(0, deadline - time.monotonic())
            if not select.select([fd], [], [], left)[0]:
                raise Failed(f'silent for {seconds:.0f} s')
            piece = os.read(fd, 65536)
            if not piece:
                raise Failed(self.epitaph())
            self.pending += piece
        line, _, self.pending = self.pending.partition(b'\n')
        return line.decode(errors='replace').strip()

    def all(self, seconds):
        """All that it says until it ends, which it should do well."""
        try:
            said = self.child.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired as error:
            raise Failed(f'not done after {seconds:.0f} s') from error
        if self.child.returncode:
            raise Failed(self.epitaph())
        return said.decode(errors='replace')

    def epitaph(self):
        """How it ended, and its last words."""
        try:
            code = self.child.wait(END)
        except subprocess.TimeoutExpired:
            return 'closed its output'
        how = f'died: {signal.Signals(-code).name}' if code < 0 else \
            f'ended: exit code {code}'
        self.complaints.seek(0)
        words = self.complaints.read()[-2000:].decode(errors='replace')
        last = words.strip().rpartition('\n')[2]
        return f'{how}: {last}' if last else how

    def check(self):
        if self.child.poll() is not None:
            raise Failed(self.epitaph())

    def ask_to_end(self):
        if self.child.poll() is None:
            self.child.terminate()

    def end(self):
        """By its number, with its consent or without."""
        self.ask_to_end()
        try:
            self.child.wait(END)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()
        self.complaints.close()


class Contender:
    """A server with its load generator."""

    def __init__(self, server, wrapper=()):
        self.server = server
        self.wrapper = wrapper  # what the server runs in, if anything
        self.process = None
        self.load = None
        self.port = None

    def start(self, programs, row, core):
        command = [*self.wrapper, *programs.command(self.server),
                   *row.server_options()]
        self.process = Process(command, core, self.server.environment)
        words = self.process.line(START).split()
        if len(words) != 2 or words[0] != 'port' or not words[1].isdigit():
            raise Failed(f'says no port, but: {" ".join(words)}')
        self.port = words[1]

    def connect(self, programs, row, core):
        self.load = Process(
            [programs.load, '--port', self.port, '--pid',
             str(self.process.pid), *row.load_options()], core)
        said = self._hear(CONNECT)
        if said != 'ready':
            raise Failed(f'load generator: {said}')

    def _hear(self, seconds):
        """The load generator's next line; if there is none, the server's
        death comes before the load generator's complaint about it."""
        try:
            return self.load.line(seconds)
        except Failed as failed:
            self.process.check()
            raise Failed(f'load generator: {failed}') from failed

    def run(self, seconds):
        """One slice, as a dictionary of numbers."""
        before = self._waited()
        try:
            self.load.say(f'{seconds}\n')
        except Failed as failed:
            self.process.check()
            raise Failed(f'load generator: {failed}') from failed
        piece = parse_slice(self._hear(seconds + SLACK))
        self.process.check()
        if piece['errors']:
            raise Failed(f'{piece["errors"]:.0f} errors')
        if not piece['requests'] and not piece['bytes']:
            raise Failed('not one answer')
        piece['delay'] = max(after - then for after, then in zip(
            self._waited(), before)) / 1e9 / seconds
        return piece

    def _waited(self):
        return [waited(process.pid, process.core)
                for process in (self.process, self.load)]

    def ask_to_end(self):
        for process in self.load, self.process:
            if process:
                process.ask_to_end()

    def end(self):
        for process in self.load, self.process:
            if process:
                process.end()
        self.load = self.process = None


SLICE = ('requests', 'seconds', 'p50_us', 'p99_us', 'p999_us', 'max_us',
         'bytes', 'client_cpu', 'server_cpu', 'server_us', 'errors')


def parse_slice(line):
    """key=value key=value ..."""
    try:
        pairs = dict(word.split('=', 1) for word in line.split())
        return {key: float(pairs[key]) for key in SLICE}
    except (ValueError, KeyError) as error:
        raise Failed(f'load generator: says {line!r}') from error
