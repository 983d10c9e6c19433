# SPDX-License-Identifier: MIT
"""The command line of `krait`: help, mistakes, and addresses that are none."""

import os
import re
import subprocess

from cli_support import CommandTest, KRAIT, environment, main


class Usage(CommandTest):
    def assert_usage_error(self, *args, says):
        status, out, err = self.run_krait(*args)
        self.assertEqual((status, out), (2, b""), (args, err))
        self.assert_one_line(err, says.encode(), b"--help")

    def test_help_is_printed_by_the_program_and_by_each_command(self):
        for args in (["--help"], ["-h"], ["serve", "--help"],
                     ["connect", "--help"], ["demo", "--help"],
                     ["demo", "-h"]):
            status, out, err = self.run_krait(*args)
            self.assertEqual((status, err), (0, b""), args)
            self.assertTrue(out.startswith(b"usage: krait"), args)
            self.assertIn(b"Exit status", out)
            for line in out.split(b"\n"):
                self.assertLessEqual(len(line), 80, line)

    def test_help_names_every_option_that_the_manual_names(self):
        source = os.environ.get("KRAIT_SOURCE",
                                os.path.join(os.path.dirname(__file__), ".."))
        with open(os.path.join(source, "man", "krait.1")) as file:
            manual = file.read().replace("\\-", "-")
        options = set()
        for command in ("serve", "connect", "demo"):
            out = self.run_krait(command, "--help")[1].decode()
            options |= set(re.findall(r"(?<![\w-])--([a-z-]+)", out))
        for option in options:
            self.assertIn("Fl -" + option, manual)

    def test_the_version_is_the_librarys(self):
        status, out, err = self.run_krait("--version")
        self.assertEqual((status, err), (0, b""))
        self.assertRegex(out, rb"^krait \d+\.\d+\.\d+\n$")

    def test_a_command_is_needed_and_must_be_known(self):
        self.assert_usage_error(says="a command is needed")
        self.assert_usage_error("srve", says="srve: no such command")
        self.assert_usage_error("--srve", says="--srve: no such option")

    def test_options_must_be_known_and_complete(self):
        self.assert_usage_error("serve", "--nope", ":0", says="--nope")
        self.assert_usage_error("serve", "-x", ":0", says="-x")
        self.assert_usage_error("serve", "-qx", ":0", says="-x: no such")
        self.assert_usage_error("serve", ":0", "--reply",
                                says="--reply needs an argument")
        self.assert_usage_error("serve", "--echo=1", ":0",
                                says="--echo=1 takes no argument")
        self.assert_usage_error("connect", "--mode", "serial", ":1",
                                says="--mode: no such option")
        self.assert_usage_error("demo", "-t", "1", says="-t: no such option")
        self.assert_usage_error("serve", "--mode", "fork", ":0",
                                says="threads or serial")

    def test_options_that_exclude_each_other_are_refused(self):
        self.assert_usage_error("serve", "--echo", "--reply", "x", ":0",
                                says="--echo and --reply")
        self.assert_usage_error("connect", "--send-only", "--recv-only", ":1",
                                says="one of them")
        self.assert_usage_error("connect", "--prompt", "--recv-only", ":1",
                                says="--prompt")

    def test_one_address_is_needed(self):
        for command in ("serve", "connect"):
            self.assert_usage_error(command, says="ADDRESS is needed")
            self.assert_usage_error(command, ":1", ":2", says="not also :2")
        self.assert_usage_error("demo", ":1", ":2", says="not also :2")

    def test_a_timeout_is_a_positive_number_of_seconds(self):
        for text in ("-1", "0", "nan", "NaN", "inf", "-inf", "abc", "", "1x",
                     "1e9", "0x10", "1..2", ".", "99999999999999999999",
                     " 1", "1 "):
            for command in ("serve", "connect"):
                self.assert_usage_error(command, "--timeout", text, ":1",
                                        says="--timeout " + text)

    def test_a_timeout_may_have_a_unit(self):
        for text in ("2.5", "3s", "500ms", "1m", ".5"):
            status, _, err = self.run_krait("connect", "--timeout", text,
                                            "unix:" + self.path("none"))
            self.assertEqual(status, 5, err)

    def test_an_address_must_be_one(self):
        for text in ("127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:abc",
                     "127.0.0.1", ":", "", "[::1]", "[::1:80", "1.2.3.4:",
                     "tcp:unix", "unix:" + "x" * 108, "x" * 300 + ":80"):
            for command in ("serve", "connect", "demo"):
                status, out, err = self.run_krait(command, text)
                self.assertEqual((status, out), (2, b""), (text, err))
                self.assert_one_line(err, text[:50].encode())

    def test_a_name_that_does_not_resolve_has_a_status_of_its_own(self):
        for command in ("serve", "connect"):
            status, out, err = self.run_krait(command,
                                              "no-such-host.invalid:80")
            self.assertEqual((status, out), (3, b""), err)
            self.assert_one_line(err, b"no-such-host.invalid")

    def test_help_that_can_not_be_written_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([KRAIT, "--help"], stdout=full,
                                  stderr=subprocess.PIPE, env=environment())
        self.assertEqual(done.returncode, 7)
        self.assert_one_line(done.stderr, b"stdout", b"No space left")

    def test_a_program_without_standard_files_says_so_and_loses_nothing(self):
        for missing, name in ((0, b"stdin"), (1, b"stdout")):
            listener, address = self.listener()
            connect = self.krait("connect", address,
                                 preexec_fn=lambda fd=missing: os.close(fd))
            peer = self.accept(listener)
            if missing == 1:
                peer.sendall(b"never seen")
            else:
                self.assertEqual(peer.recv(10), b"")
                peer.close()
            self.assertEqual(connect.status(), 7)
            self.assert_one_line(connect.err.rest(), name,
                                 b"Bad file descriptor")


if __name__ == "__main__":
    main()
