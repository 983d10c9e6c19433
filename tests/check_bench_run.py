# SPDX-License-Identifier: MIT
"""bench/run, with servers and a load generator that only pretend: what it
makes of numbers that are known, what it says of servers that fail, and that it
leaves nobody behind.

The pretended server says as its port who it is; the pretended load generator
finds under that number what it is to do. Neither opens a socket.

ctest: timeout=60 labels=no-valgrind
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = os.environ["KRAIT_SOURCE"]
sys.path.insert(0, os.path.join(SOURCE, "bench"))

from driver import (  # noqa: E402
    figures, instructions, page, parts, processes, programs, report, rotation,
    sampling, scenarios, small, summary)

PATIENCE = 30

SERVER = """#!/usr/bin/python3
import json, os, signal, sys
here = os.path.dirname(os.path.abspath(sys.argv[0]))
name = os.path.basename(sys.argv[0])
name += "".join("," + word for word in sys.argv[1:] if word == "--multishot")
name += "," + os.environ.get("KRAIT_ENGINE", "") if "krait" in name else ""
parts = json.load(open(os.path.join(here, "parts.json")))
mine = sorted(parts).index(name)
with open(os.path.join(here, "pids"), "a") as pids:
    print(os.getpid(), file=pids)
part = parts[name]
if part.get("mute"):
    signal.pause()
if part.get("refuse"):
    sys.exit(part["refuse"])
print("port", 1 + mine, flush=True)
signal.pause()
"""

LOAD = """#!/usr/bin/python3
import json, os, signal, sys, time
here = os.path.dirname(os.path.abspath(sys.argv[0]))
value = lambda name: int(sys.argv[sys.argv.index(name) + 1])
parts = json.load(open(os.path.join(here, "parts.json")))
part = parts[sorted(parts)[value("--port") - 1]]
with open(os.path.join(here, "pids"), "a") as pids:
    print(os.getpid(), file=pids)
print("ready", flush=True)
turn = -2                       # the warming up is slice -1
for line in sys.stdin:
    turn += 1
    seconds = float(line)
    time.sleep(part.get("sleep", 0.001))
    if turn == 2:
        with open(os.path.join(here, "third"), "a") as third:
            print(os.getpid(), file=third)
    if turn == part.get("kill"):
        os.kill(value("--pid"), signal.SIGKILL)
        time.sleep(0.2)
    if turn == part.get("leave"):
        sys.exit("the server sent something else")
    if turn == part.get("babble"):
        print("what?", flush=True)
        continue
    rates = part.get("rates", [100])
    rate = rates[max(turn, 0) % len(rates)]
    print("requests=%d seconds=1 p50_us=%g p99_us=%g p999_us=9 max_us=9 "
          "bytes=64 client_cpu=%g server_cpu=%g server_us=%g errors=%d"
          % (rate * 1000, part.get("p50", 10), part.get("p99", 20),
             part.get("client", 0.5), part.get("server", 0.99),
             part.get("cost", 5), turn == part.get("err")), flush=True)
"""


def piece(**changes):
    return {**dict.fromkeys(processes.SLICE, 1.0), "errors": 0.0,
            "delay": 0.0, **changes}


def rate(k):
    return piece(requests=k * 1000.0)


class Arithmetic(unittest.TestCase):
    row = scenarios.Row("a", "A row")

    def measured(self, row=None, **rates):
        """A row in which each server has had these K requests/s."""
        servers = [server for server in programs.SERVERS
                   if server.name.replace("-", "_") in rates]
        result = rotation.Measured(row or self.row, servers)
        for server in servers:
            result.slices[server.name] = {
                turn: rate(k) for turn, k in
                enumerate(rates[server.name.replace("-", "_")])}
        return result

    def test_a_figure_is_the_median_of_the_best_third(self):
        more, less = figures.FIGURES["rate"], figures.FIGURES["p50"]
        numbers = [5, 9, 1, 7, 3, 8, 2, 6, 4]
        self.assertEqual(more.best_of(numbers), 8)
        self.assertEqual(less.best_of(numbers), 2)
        self.assertEqual(more.best_of([4]), 4)
        self.assertEqual(more.best_of([4, 6]), 6)
        self.assertEqual(more.best_of([1, 2, 3, 10, 20]), 15)

    def test_a_quantile_lies_between_its_neighbours(self):
        self.assertEqual(figures.quantile([4, 1, 3, 2], 0.5), 2.5)
        self.assertEqual(figures.quantile([10, 20], 0.25), 12.5)
        self.assertEqual(figures.quantile([7], 0.75), 7)

    def test_a_ratio_is_taken_within_a_round(self):
        # Both are slowed down alike from the second round on; only the pairs
        # tell that one is always half as fast.
        ours = dict(enumerate(map(rate, (50, 25, 5, 5))))
        theirs = dict(enumerate(map(rate, (100, 50, 10, 10))))
        found = figures.ratio(figures.FIGURES["rate"], ours, theirs, self.row)
        self.assertEqual((found.middle, found.low, found.high, found.rounds),
                         (0.5, 0.5, 0.5, 4))

    def test_a_ratio_is_of_the_rounds_that_both_were_in(self):
        one, two = {0: rate(1), 1: rate(2)}, {1: rate(4), 2: rate(9)}
        rates = figures.FIGURES["rate"]
        self.assertEqual(figures.ratio(rates, one, two, self.row).middle, 0.5)
        self.assertIsNone(figures.ratio(rates, one, {5: rate(1)}, self.row))
        self.assertIsNone(figures.ratio(rates, one, {0: rate(0)}, self.row))

    def test_disturbed_slices_are_left_out_unless_few_others_are_there(self):
        turns = {turn: {**rate(turn), "delay": delay} for turn, delay in
                 enumerate((0, 0.2, 0.04, 0.06, 0.01, 0.5))}
        self.assertEqual(sorted(figures.calm(turns)), [0, 2, 4])
        del turns[4]
        self.assertEqual(figures.calm(turns), turns)
        ours = {turn: {**rate(1), "delay": 0.9 * (turn > 3)}
                for turn in range(7)}
        theirs = {turn: {**rate(2 + turn), "delay": 0.9 * (turn < 1)}
                  for turn in range(7)}
        found = figures.ratio(figures.FIGURES["rate"], ours, theirs, self.row)
        self.assertEqual((found.middle, found.rounds), (1 / 4, 3))

    def test_the_work_is_subtracted_from_the_cost(self):
        row = scenarios.Row("w", "W", work=3000, figures=("cost",))
        cost = figures.FIGURES["cost"]
        self.assertEqual(cost.of(piece(server_us=8.5), row), 5.5)

    def test_who_was_at_the_end_of_its_core(self):
        for server, client, limit in ((1, .5, "server"), (.5, 1, "client"),
                                      (1, 1, "both"), (.5, .5, "neither")):
            pieces = [piece(server_cpu=server, client_cpu=client)] * 3
            self.assertEqual(figures.limit(pieces), limit)

    def test_the_best_hand_written_is_the_best_of_all_of_them(self):
        result = self.measured(epoll=[100], uring=[90], uring_multishot=[120],
                               libev=[200])
        self.assertEqual(summary.base_of(result).name, "uring-multishot")
        self.assertEqual(summary.base_of(result, "libev").name, "libev")
        result.failures["uring-multishot"] = "died"
        self.assertEqual(summary.base_of(result).name, "epoll")

    def verdict(self, target, **rates):
        return summary.verdict(self.measured(**rates), target)

    def test_a_target_is_reached_or_missed_and_barely_so_within_noise(self):
        target = scenarios.Target("krait-uring", "rate", 0.95, ("reference",))
        for ours, state in (([96] * 9, "reached"), ([95] * 9, "reached"),
                            ([94] * 9, "missed"),
                            ([90, 94, 100] * 3, "missed (barely)"),
                            ([90, 96, 100] * 3, "reached (barely)")):
            found = self.verdict(target, krait_uring=ours, epoll=[100] * 9)
            self.assertEqual(found.state, state, ours)
            self.assertEqual(found.rival, "epoll")

    def test_a_target_that_is_to_be_passed_is_not_reached_by_a_tie(self):
        target = scenarios.Target("krait-uring", "rate", 1.0,
                                  ("libuv", "go"), beyond=True)
        tie = self.verdict(target, krait_uring=[9], libuv=[9], go=[3])
        self.assertEqual((tie.state, tie.rival), ("missed", "libuv"))
        self.assertEqual(self.verdict(target, krait_uring=[10], libuv=[9],
                                      go=[3]).state, "reached")

    def test_a_target_without_numbers_is_unknown(self):
        target = scenarios.Target("krait-uring", "rate", 1.0, ("libuv",))
        self.assertEqual(self.verdict(target, krait_uring=[9]).state,
                         "unknown")
        self.assertEqual(self.verdict(target, libuv=[9]).state, "unknown")

    def test_a_target_of_a_trait_takes_hand_written_servers_only(self):
        target = scenarios.Target("krait-epoll", "rate", 0.95,
                                  ("reference epoll",))
        found = self.verdict(target, krait_epoll=[9], uring=[30], epoll=[10],
                             krait_uring=[40])
        self.assertEqual((found.rival, found.state), ("epoll", "missed"))

    def test_each_target_names_servers_that_exist(self):
        for row in scenarios.ROWS:
            for target in row.targets:
                self.assertIn(target.figure, figures.FIGURES)
                for selector in (target.who, *(target.of or ())):
                    self.assertTrue(
                        any(one.matches(selector) for one in programs.SERVERS),
                        f"{row.name}: {selector}")

    def test_an_extra_server_has_its_variables(self):
        server = programs.parse_extra("old: A=1 B=x=y /bin/echo --flag 'a b'")
        self.assertEqual(
            (server.name, server.program, server.arguments,
             server.environment),
            ("old", "/bin/echo", ("--flag", "a b"), {"A": "1", "B": "x=y"}))
        for wrong in "no colon", "label:", ":prog", "x: A=1":
            with self.assertRaises(ValueError):
                programs.parse_extra(wrong)

    def test_the_page_keeps_what_is_written_by_hand(self):
        begin, end = page.RESULTS
        text = f"by hand\n{begin}\nold\n{end}\nbelow\n"
        once = page.spliced(text, page.RESULTS, ["new"])
        self.assertEqual(once,
                         f"by hand\n{begin}\n\nnew\n\n{end}\nbelow\n")
        self.assertEqual(page.spliced(once, page.RESULTS, ["new"]), once)
        with self.assertRaises(page.Broken):
            page.spliced(once, page.PROFILE, ["new"])

    def test_a_failure_is_never_a_number(self):
        result = self.measured(epoll=[100], uring=[200])
        result.failures["uring"] = "3 errors"
        text = "\n".join(report.terminal(result))
        self.assertRegex(text, r"(?m)^uring +3 errors$")
        self.assertNotIn("200", text)
        line = next(line for line in report.tsv([result])
                    if "\turing\t" in line)
        self.assertEqual(line.split("\t")[3:6], ["3 errors", "", ""])


class Profile(unittest.TestCase):
    def test_a_callee_and_an_inlined_function_count_where_they_are(self):
        said = """\
version: 1
positions: line
events: Ir
fl=(1) src/io/perform.c
fn=(1) perform
10 100
cfi=(2) src/engine/epoll.c
cfn=(2) submit
calls=3 20
+1 5000
fi=(3) src/base/lists.h
* 7
fe=(1)
12 30

fl=(2)
fn=(2)
20 4000
totals: 4137
"""
        found = instructions.self_cost(said.splitlines(), os.path.basename)
        self.assertEqual(found, {"perform.c": 130, "lists.h": 7,
                                 "epoll.c": 4000})

    def test_samples_belong_to_the_innermost_part_that_is_known(self):
        said = """\

\tffffffff81 memcpy ([kernel.kallsyms])
\tffffffff82 tcp_sendmsg_locked ([kernel.kallsyms])
\tffffffff83 io_send ([kernel.kallsyms])
\t        55 krait__resume (/somewhere/krait_echo)

\t        55 krait__resume+0x10 (/somewhere/krait_echo)
\t        66 main (/somewhere/krait_echo)

\t        77 recv (/lib/libc.so.6)

\tffffffff84 mystery ([kernel.kallsyms])
"""
        tree = parts.Tree.__new__(parts.Tree)
        tree.symbols = {"krait__resume": "Krait: scheduler"}
        self.assertEqual(
            [sampling.part_of(stack, tree, "krait_echo")
             for stack in sampling.stacks(said.splitlines())],
            ["kernel: TCP, sending", "Krait: scheduler", parts.LIBC,
             parts.KERNEL])
        self.assertEqual(parts.of_kernel(
            ["tcp_v4_rcv", "handle_softirqs", "tcp_sendmsg", "do_syscall_64"]),
            "kernel: TCP, delivery")


class Driver(unittest.TestCase):
    def setUp(self):
        self.build = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.build)
        self.parts = {}
        self.program("load", LOAD)

    def program(self, name, text):
        path = os.path.join(self.build, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, stat.S_IRWXU)

    def server(self, name, **part):
        """One that pretends: `name` is its program, and what tells it from
        others that are the same program."""
        self.parts[name] = part
        self.program(name.partition(",")[0], SERVER)

    def three(self):
        self.server("krait_echo,uring", rates=[95])
        self.server("reference_epoll", rates=[100])
        self.server("peer_libev", rates=[90])

    def start(self, *options, servers="krait-uring,epoll,libev"):
        with open(os.path.join(self.build, "parts.json"), "w",
                  encoding="utf-8") as file:
            json.dump(self.parts, file)
        return subprocess.Popen(
            [sys.executable, os.path.join(SOURCE, "bench", "run"), "--build",
             self.build, "--slice", "0.01", "--rounds", "6", "--row",
             "echo-64", "--server", servers, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd="/")

    def run_it(self, *options, **others):
        driver = self.start(*options, **others)
        out, err = driver.communicate(timeout=PATIENCE)
        self.assertNotIn("Traceback", err)
        self.assert_nobody_is_left()
        return driver.returncode, out, err

    def pids(self, name="pids"):
        try:
            with open(os.path.join(self.build, name),
                      encoding="utf-8") as file:
                return [int(line) for line in file]
        except FileNotFoundError:
            return []

    def living(self):
        """Those of them that are still ours: numbers are used again."""
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if os.fsencode(self.build) in file.read():
                        yield pid
            except OSError:
                pass

    def assert_nobody_is_left(self, patience=0):
        deadline = time.monotonic() + patience
        while list(self.living()) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(list(self.living()), [])

    def test_a_row_is_measured_and_judged(self):
        self.three()
        code, out, err = self.run_it()
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"(?m)^[6-9] rounds; \d+ % of .*; ratios to epoll")
        self.assertRegex(out, r"(?m)^krait-uring +95\.0 +0 % +0\.950 ")
        self.assertRegex(out, r"(?m)^epoll +100 .* server$")
        self.assertRegex(out, r"of the best hand-written +reached: 0\.950")
        self.assertRegex(out, r"of libev +reached: 1\.056")
        self.assertRegex(err, r"row 1/1: echo-64")
        self.assertEqual(len(self.pids()), 6)

    def test_targets_alone_never_fail(self):
        self.three()
        self.parts["krait_echo,uring"]["rates"] = [1]
        code, out, _ = self.run_it("--check-targets")
        self.assertEqual(code, 0)
        self.assertIn("missed: 0.010", out)
        self.assertNotIn("p50 µs", out)

    def test_a_server_that_is_killed_is_said_to_have_died(self):
        self.three()
        self.parts["peer_libev"]["kill"] = 2
        code, out, _ = self.run_it()
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^libev +died: SIGKILL$")
        self.assertRegex(out, r"(?m)^epoll +100 ")
        self.assertRegex(out, r"of libev +unknown: not measured")

    def test_a_server_that_does_not_start_says_why(self):
        self.three()
        self.parts["peer_libev"]["refuse"] = "libev: no memory"
        _, out, _ = self.run_it()
        self.assertRegex(
            out, r"(?m)^libev +ended: exit code 1: libev: no memory$")

    def test_errors_that_the_load_generator_counts_are_no_numbers(self):
        self.three()
        self.parts["peer_libev"]["err"] = 3
        _, out, _ = self.run_it()
        self.assertRegex(out, r"(?m)^libev +1 errors$")

    def test_a_load_generator_that_leaves_or_babbles_is_quoted(self):
        self.three()
        self.parts["peer_libev"]["leave"] = 1
        self.parts["reference_epoll"]["babble"] = 1
        _, out, _ = self.run_it()
        self.assertRegex(out, r"(?m)^libev +load generator: ended: exit code "
                              r"1: the server sent something else$")
        self.assertRegex(out, r"(?m)^epoll +load generator: says 'what\?'$")
        self.assertRegex(out, r"(?m)^krait-uring +95\.0 ")

    def test_a_missing_peer_is_said_to_be_missing(self):
        self.three()
        os.remove(os.path.join(self.build, "peer_libev"))
        code, out, _ = self.run_it()
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^libev +not there: peer_libev was not")

    def test_an_extra_server_takes_part(self):
        self.three()
        self.server("krait_echo,old", rates=[50])
        path = os.path.join(self.build, "krait_echo")
        code, out, _ = self.run_it("--also", f"old: KRAIT_ENGINE=old {path}",
                                   "--base", "krait-uring")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^old +50\.0 +0 % +0\.526 ")

    def test_without_a_load_generator_there_is_nothing_to_do(self):
        self.three()
        os.remove(os.path.join(self.build, "load"))
        code, out, err = self.run_it()
        self.assertEqual((code, out), (1, ""))
        self.assertIn("make bench", err)

    def test_a_name_that_is_wrong_is_said_to_be(self):
        for option, name in ("--row", "ehco"), ("--server", "epol"):
            code, _, err = self.run_it(option, name)
            self.assertEqual(code, 1)
            self.assertIn(name, err)

    def micro(self, text):
        with open(os.path.join(self.build, "said"), "w",
                  encoding="utf-8") as file:
            file.write(text)
        self.program("micro", f"#!/bin/sh\ncat {self.build}/said\n")
        code, out, _ = self.run_it("--row", small.NAME)
        self.assertEqual(code, 0)
        return out

    def test_small_things_are_judged_by_targets_of_their_own(self):
        self.three()
        out = self.micro("\t".join(small.COLUMNS) + "\n"
                         "a switch\tepoll\t4.6\t4.5\t5.100\ta call\t5\n"
                         "a timer\tthread\t60.0\t51.0\t0.000\t\t50\n"
                         "a call\tthread\t0.9\t0.8\t0.000\t\t0\n")
        self.assertRegex(out, r"(?m)^a switch +epoll +4\.6 +4\.5 +5\.10")
        self.assertRegex(out, r"a switch \(epoll\): at most 5 ns +reached: 4.6")
        self.assertRegex(out, r"a timer \(thread\): .* +missed: 60\.0")
        self.assertNotIn("a call (thread): at most", out)
        self.assertRegex(self.micro("nonsense\n"), "micro: says 'nonsense")

    def interrupted(self, number):
        """What it says when a signal comes in the third round."""
        self.three()
        for part in self.parts.values():
            part["sleep"] = 0.02
        driver = self.start("--rounds", "1000")
        deadline = time.monotonic() + PATIENCE
        while len(self.pids("third")) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        driver.send_signal(number)
        out, err = driver.communicate(timeout=PATIENCE)
        self.assertNotIn("Traceback", err)
        return driver.returncode, out

    def test_an_interrupted_run_shows_what_it_has_and_leaves_nobody(self):
        for number in signal.SIGINT, signal.SIGTERM:
            code, out = self.interrupted(number)
            self.assertEqual(code, 130)
            self.assertRegex(out, r"rounds, interrupted; .*; ratios to epoll")
            self.assertRegex(out, r"(?m)^krait-uring +95\.0 ")
            self.assert_nobody_is_left()
            for name in "pids", "third":
                os.remove(os.path.join(self.build, name))

    def test_a_driver_that_is_killed_takes_them_with_it(self):
        self.interrupted(signal.SIGKILL)
        self.assert_nobody_is_left(PATIENCE)

    def test_the_page_and_the_raw_data_are_written(self):
        self.three()
        docs = os.path.join(self.build, "docs")
        os.mkdir(docs)
        with open(os.path.join(docs, "benchmarks.md"), "w",
                  encoding="utf-8") as file:
            file.write("\n".join(["By hand.", *page.RESULTS]))
        raw = os.path.join(self.build, "raw.tsv")
        code, _, err = self.run_it("--write", "--docs", docs, "--raw", raw,
                                   servers="krait-uring,epoll,libev,st")
        if "there is no gnuplot" not in err:
            self.assertEqual(code, 0, err)
            self.assertTrue(os.path.exists(
                os.path.join(docs, "benchmarks", "ratios.svg")))
        with open(os.path.join(docs, "benchmarks.md"),
                  encoding="utf-8") as file:
            text = file.read()
        self.assertTrue(text.startswith("By hand."))
        self.assertIn("| krait-uring | 95.0 | 0 % | 0.950 |", text)
        self.assertIn("| `st` | peer | State Threads | not there:", text)
        self.assertNotIn(self.build, text)
        with open(raw, encoding="utf-8") as file:
            self.assertIn(len(file.readlines()),
                          range(1 + 3 * 6, 1 + 3 * 9 + 1))


if __name__ == "__main__":
    unittest.main()
