# SPDX-License-Identifier: MIT
"""`krait demo`: server and client in one terminal, or at the end of a pipe.

One test wants port 8001, where the demo is by default.

ctest: serial
"""

import os
import re
import select
import signal
import socket
import time

from cli_support import (CommandTest, PATIENCE, REPLY, await_gone, children,
                         environment, main, needs_signals)

ANY = "127.0.0.1:0"
ANSWER = REPLY.decode()
ASK = "Please input msg:"


class FromAPipe(CommandTest):
    def test_lines_of_a_pipe_are_answered_and_the_status_is_0(self):
        status, out, err = self.run_krait("demo", ANY, stdin=b"a\nb\n")
        self.assertEqual((status, err), (0, b""), out)
        lines = out.decode().splitlines()
        server = [line[8:] for line in lines if line.startswith("server| ")]
        client = [line for line in lines
                  if not line.startswith("server| ") and line != ASK]
        self.assertRegex(server[0], r"^Server start at: 127\.0\.0\.1:[1-9]")
        self.assertEqual(server[1], "wait for connection...")
        self.assertRegex(server[2], r"^Connected by 127\.0\.0\.1:\d+$")
        self.assertEqual(server[3:], ["a", "b"])
        self.assertEqual(client, [ASK + "a", ANSWER, ASK + "b", ANSWER])

    def test_a_last_line_without_newline_is_a_line(self):
        status, out, _ = self.run_krait("demo", ANY, stdin="世界".encode())
        self.assertEqual(status, 0)
        self.assertIn((ASK + "世界\n").encode(), out)
        self.assertIn("server| 世界\n".encode(), out)

    def test_no_input_is_no_conversation(self):
        status, out, err = self.run_krait("demo", ANY)
        self.assertEqual((status, err), (0, b""))
        self.assertIn(b"server| Connected by", out)

    def test_nothing_of_much_output_is_lost(self):
        lines = b"".join(b"line %d\n" % i for i in range(500))
        status, out, err = self.run_krait("demo", ANY, stdin=lines)
        self.assertEqual((status, err), (0, b""))
        shown = re.findall(rb"^server\| (line \d+)$", out, re.M)
        self.assertEqual(shown, lines.splitlines())
        self.assertEqual(out.count(REPLY + b"\n"), 500)

    def test_its_options_are_the_servers(self):
        status, out, err = self.run_krait("demo", "--echo", "--mode",
                                          "serial", "--verbose", ANY,
                                          stdin=b"again\n")
        self.assertEqual((status, err), (0, b""), out)
        self.assertEqual(out.count(b"again\n"), 3)
        self.assertIn(b"server| krait: Krait", out)
        self.assertIn(b"mode serial", out)

    def test_unix_sockets_and_datagrams_do_as_well(self):
        for address in ("unix:" + self.path("stream"),
                        "seqpacket:unix:" + self.path("records"),
                        "udp:unix:" + self.path("datagrams"),
                        "udp:127.0.0.1:0", "[::1]:0", ":0"):
            if address == "[::1]:0" and not os.path.exists(
                    "/proc/net/if_inet6"):
                continue
            status, out, err = self.run_krait("demo", address, stdin=b"a\n")
            self.assertEqual((status, err), (0, b""), (address, out))
            self.assertIn(b"server| a\n", out)
            self.assertIn(REPLY + b"\n", out)
        self.assertEqual(os.listdir(self.directory), [])

    def test_the_default_address_is_the_one_of_the_original(self):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", 8001))
            except OSError:
                self.skipTest("another program has port 8001")
        status, out, err = self.run_krait("demo", stdin=b"a\n")
        if status == 6:
            self.skipTest("another program has port 8001 now")
        self.assertEqual((status, err), (0, b""))
        self.assertIn(b"server| Server start at: 127.0.0.1:8001\n", out)

    def test_a_port_that_is_taken_is_said_in_one_line_with_what_to_do(self):
        _, address = self.listener()
        status, out, err = self.run_krait("demo", address, stdin=b"a\n")
        self.assertEqual((status, out), (6, b""))
        self.assert_one_line(err, address.encode(), b"Address already in use",
                             b"ss -ltnp", b"`make run ADDR=127.0.0.1:9001`")

    def test_a_full_disk_behind_stdout_is_said(self):
        with open("/dev/full", "wb") as full:
            demo = self.krait("demo", ANY, stdout=full)
        self.assertEqual(demo.status(), 7)
        self.assert_one_line(demo.err.rest(), b"stdout: No space left")


class Processes(CommandTest):
    def demo(self, *args, **more):
        demo = self.krait("demo", *args, ANY, **more)
        demo.out.expect(b"Connected by")
        demo.out.expect(ASK.encode())
        (server,) = children(demo.process.pid)
        return demo, server

    def test_the_end_of_the_input_leaves_no_process(self):
        demo, server = self.demo()
        demo.close_stdin()
        self.assertEqual(demo.status(), 0)
        await_gone(server)

    def test_signals_leave_no_process(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            demo, server = self.demo()
            demo.signal(number)
            self.assertEqual(demo.status(), 128 + number)
            self.assertEqual(demo.err.rest(), b"")
            await_gone(server)

    @needs_signals
    def test_a_killed_demo_leaves_no_process(self):
        demo, server = self.demo()
        demo.signal(signal.SIGKILL)
        self.assertEqual(demo.status(), -signal.SIGKILL)
        await_gone(server)

    @needs_signals
    def test_a_killed_demo_leaves_no_socket_file(self):
        path = self.path("socket")
        demo = self.krait("demo", "unix:" + path)
        demo.out.expect(b"Connected by")
        (server,) = children(demo.process.pid)
        demo.signal(signal.SIGKILL)
        demo.status()
        await_gone(server)
        self.assertFalse(os.path.exists(path))

    @needs_signals
    def test_the_servers_death_is_said_and_ends_the_client(self):
        for line in (b"", b"x\n"):
            demo, server = self.demo()
            os.kill(server, signal.SIGSTOP)
            demo.write(line)
            os.kill(server, signal.SIGKILL)
            self.assertEqual(demo.status(), 1)
            demo.err.expect(rb"krait: the server was killed by signal 9")

    @needs_signals
    def test_a_stdout_that_nobody_reads_does_not_keep_ctrl_c_waiting(self):
        demo = self.krait("demo", ANY)
        demo.out.expect(ASK.encode())
        (server,) = children(demo.process.pid)
        stdin = demo.process.stdin.fileno()
        while select.select([], [stdin], [], 0.3)[1]:
            os.write(stdin, b"x" * 1000 + b"\n")
        demo.signal(signal.SIGINT)
        self.assertEqual(demo.status(), 130)
        await_gone(server)


class AtATerminal(CommandTest):
    def demo(self, *args, **more):
        terminal = self.terminal("demo", *args, ANY, **more)
        # The server's line about the connection may be the last to come.
        terminal.await_picture(lambda p: p.lines()[-1:] == [ASK] and
                               "Connected by" in str(p))
        return terminal

    def test_the_dialogue_reads_as_the_original_one_does(self):
        terminal = self.demo()
        self.assertRegex(str(terminal.picture()), (
            r"^\|server\| Server start at: 127\.0\.0\.1:\d+\n"
            r"\|server\| wait for connection\.\.\.\n"
            r"\|server\| Connected by 127\.0\.0\.1:\d+\n"
            r"\|Please input msg:$"))
        terminal.type("hello\r")
        picture = terminal.await_picture(
            lambda p: p.lines()[-1:] == [ASK] and
            "server| hello" in p.lines() and ANSWER in p.lines())
        self.assertEqual(picture.lines()[3], ASK + "hello")
        self.assertEqual(len(picture.lines()), 7)
        terminal.type(b"\x04")
        self.assertEqual(terminal.status(), 0)

    def test_ctrl_d_ends_both_with_status_0(self):
        terminal = self.demo()
        (server,) = children(terminal.pid)
        terminal.type(b"\x04")
        self.assertEqual(terminal.status(), 0)
        await_gone(server)

    @needs_signals
    def test_ctrl_c_ends_both_with_status_130(self):
        for typed in ("", "typed, not sent"):
            terminal = self.demo()
            (server,) = children(terminal.pid)
            terminal.type(typed)
            terminal.await_lines(ASK + typed)
            began = time.monotonic()
            terminal.type(b"\x03")
            self.assertEqual(terminal.status(), 130)
            await_gone(server)
            self.assertNotIn(b"krait:", terminal.out.data)
            # Where it is stuck, it leaves after five seconds all the same.
            self.assertLess(time.monotonic() - began, 4)

    @needs_signals
    def test_a_closed_terminal_ends_both(self):
        terminal = self.demo()
        (server,) = children(terminal.pid)
        terminal.hang_up()
        await_gone(terminal.pid)
        await_gone(server)

    def test_typing_ahead_of_the_answer_is_not_lost(self):
        terminal = self.demo()
        terminal.type("one\rtwo\rthree\r\x04")
        self.assertEqual(terminal.status(), 0)
        lines = terminal.picture().lines()
        for word in ("one", "two", "three"):
            self.assertEqual(lines.count(ASK + word), 1, lines)
            self.assertEqual(lines.count("server| " + word), 1, lines)
        self.assertEqual(lines.count(ANSWER), 3, lines)

    def test_what_the_server_says_does_not_tear_what_is_being_typed(self):
        terminal = self.demo()
        port = int(re.search(rb"start at: 127\.0\.0\.1:(\d+)",
                             terminal.out.data).group(1))
        terminal.type("typing\x02\x02")  # the cursor is on the n
        terminal.await_lines(ASK + "typing")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as other:
            other.sendall(b"from elsewhere\nheld")
            terminal.await_lines("server| from elsewhere", ASK + "typing")
            self.assertNotIn("held", str(terminal.picture()))
            other.sendall(b" until its newline\n")
            terminal.await_lines("server| held until its newline",
                                 ASK + "typing")
        terminal.type("XY")
        terminal.await_lines(ASK + "typiXYng")
        terminal.type("\r")
        terminal.await_picture(lambda p: "server| typiXYng" in p.lines())

    def test_text_of_several_rows_is_redrawn_as_a_whole(self):
        for text in ("x" * 23, "x" * 22, "x" * 100, "世" * 30, "a世" * 20,
                     "\x16\x01" * 12):
            terminal = self.demo(columns=40)
            port = int(re.search(rb"start at: 127\.0\.0\.1:(\d+)",
                                 terminal.out.data).group(1))
            terminal.type(text)
            shown = text.replace("\x16\x01", "^A")
            terminal.await_picture(lambda p: "".join(p.lines()).replace(
                " ", "").endswith(ASK.replace(" ", "") + shown))
            before = terminal.picture().lines()
            terminal.type("\x02" * 5)
            with socket.create_connection(("127.0.0.1", port),
                                          PATIENCE) as other:
                other.sendall(b"news\n")
                # Connected by, news, and the prompt below them as it was.
                picture = terminal.await_picture(
                    lambda p: "server| news" in p.lines() and
                    p.lines()[p.lines().index("server| news") + 1:] ==
                    before[3:])
                self.assertEqual(picture.lines()[:3], before[:3])
                self.assertEqual(len(picture.lines()), len(before) + 2)
            terminal.end()

    def test_the_servers_lines_are_dim_unless_no_color_is_set(self):
        self.assertIn(b"\x1b[2mserver| ", self.demo().out.data)
        terminal = self.demo(env=environment(NO_COLOR="1"))
        self.assertNotIn(b"\x1b[2m", terminal.out.data)

    def test_what_a_client_sends_can_not_command_the_terminal(self):
        terminal = self.demo()
        port = int(re.search(rb"start at: 127\.0\.0\.1:(\d+)",
                             terminal.out.data).group(1))
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as other:
            other.sendall(b"\x1b]0;owned\x07\x1b[2J\xff\n")
            terminal.await_lines(
                "server| \\x1B]0;owned\\x07\\x1B[2J\\xFF", ASK)

    def test_a_dumb_terminal_does_as_well(self):
        terminal = self.terminal("demo", ANY, env=environment(TERM="dumb"))
        terminal.out.expect(ASK.encode())
        terminal.type("hello\r")
        terminal.out.expect(rb"server\| hello\r\n")
        terminal.out.expect(REPLY)
        terminal.type("\x04")
        self.assertEqual(terminal.status(), 0)

    def test_a_port_that_is_taken_shows_no_prompt(self):
        _, address = self.listener()
        terminal = self.terminal("demo", address, columns=400)
        self.assertEqual(terminal.status(), 6)
        self.assertEqual(len(terminal.picture().lines()), 1)
        self.assertIn("make run ADDR=", str(terminal.picture()))


if __name__ == "__main__":
    main()
