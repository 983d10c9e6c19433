# SPDX-License-Identifier: MIT
"""`krait connect` at a terminal: editing, history, and what arrives meanwhile.

A stock Python socket is the server, so that every byte on the way is seen.
"""

import os
import random
import signal
import termios

from cli_support import (CommandTest, Picture, environment, main,
                         needs_signals, wait_for)

ASK = "Please input msg:"


class Keyboard(CommandTest):
    def start(self, *args, **more):
        listener, address = self.listener()
        self.terminal_ = self.terminal("connect", *args, address, **more)
        self.peer = self.accept(listener)
        self.terminal_.await_lines(ASK)
        return self.terminal_, self.peer

    def sent(self, terminal, peer, keys):
        """What arrives when these keys are pressed."""
        terminal.type(keys)
        data = b""
        while not data.endswith(b"\n"):
            piece = peer.recv(100)
            self.assertTrue(piece)
            data += piece
        peer.sendall(b"ok")
        terminal.await_lines("ok", ASK)
        return data.decode()

    def test_lines_are_edited_before_they_are_sent(self):
        terminal, peer = self.start()
        for keys, line in (("hello\r", "hello"),
                           ("helo\x02l\r", "hello"),         # Ctrl-B
                           ("ello\x01h\x05!\r", "hello!"),   # Ctrl-A, Ctrl-E
                           ("hellox\x7f\r", "hello"),        # backspace
                           ("helo\x1b[Dl\r", "hello"),       # left
                           ("x\x15hello\r", "hello"),        # Ctrl-U
                           ("\r", ""), ("a b\r", "a b")):
            self.assertEqual(self.sent(terminal, peer, keys), line + "\n")

    def test_history_brings_lines_back(self):
        terminal, peer = self.start()
        for line in ("first", "second"):
            self.sent(terminal, peer, line + "\r")
        self.assertEqual(self.sent(terminal, peer, "\x10\x10\r"), "first\n")
        self.assertEqual(self.sent(terminal, peer, "\x1b[A!\r"), "first!\n")

    def test_chinese_is_edited_by_characters_and_arrives_intact(self):
        terminal, peer = self.start()
        self.assertEqual(self.sent(terminal, peer, "世界\r"), "世界\n")
        terminal.type("你好嗎\x7f\x7f")
        terminal.await_lines(ASK + "你")
        terminal.type("們a\x02\x02x")
        terminal.await_lines(ASK + "你x們a")
        self.assertEqual(self.sent(terminal, peer, "\r"), "你x們a\n")

    def test_the_screen_shows_the_text_wherever_it_is_edited(self):
        for seed, columns in ((1, 28), (2, 35), (3, 51), (4, 200)):
            self.edit_at_random(random.Random(seed), columns)

    def edit_at_random(self, dice, columns):
        terminal, peer = self.start(columns=columns)
        text, cursor = [], 0
        for step in range(25):
            what = dice.choice("tttlrbn")
            count = dice.randint(1, 4)
            if what == "t" and len(text) < 60:
                typed = dice.choice("世界axé ") * count
                text[cursor:cursor] = typed
                cursor += count
                terminal.type(typed)
            elif what == "l":
                cursor = max(0, cursor - 5 * count)
                terminal.type("\x01" + "\x06" * cursor)
            elif what == "r":
                cursor = min(len(text), cursor + 5 * count)
                terminal.type("\x01" + "\x06" * cursor)
            elif what == "b" and cursor >= count:
                del text[cursor - count:cursor]
                cursor -= count
                terminal.type("\x7f" * count)
            elif what == "n":
                peer.sendall(b"news %d" % step)
            wanted = Picture(24, columns).draw(
                (ASK + "".join(text)).encode()).lines()
            if what == "n":
                wanted.insert(0, "news %d" % step)
            terminal.await_lines(*wanted)
        terminal.type("\r")
        wanted = ("".join(text) + "\n").encode()
        self.assertEqual(self.receive(peer, len(wanted)), wanted)
        terminal.end()

    def test_a_character_may_be_typed_in_pieces(self):
        terminal, peer = self.start()
        for byte in "世".encode()[:2]:
            terminal.type(bytes([byte]))
        terminal.type(b"")
        self.assertEqual(
            self.sent(terminal, peer, "世".encode()[2:] + b"\r"), "世\n")

    def test_chinese_is_chinese_in_a_locale_without_utf_8(self):
        for locale in ("C", "POSIX", "no_SUCH.locale", ""):
            terminal, peer = self.start(env=environment(
                LC_ALL=locale, LANG=locale, LC_CTYPE=locale))
            self.assertEqual(self.sent(terminal, peer, "世\x7f世界\r"),
                             "世界\n")

    @needs_signals
    def test_typing_ahead_is_not_lost_and_not_echoed_twice(self):
        terminal, peer = self.start()
        terminal.type("one\r")
        self.assertEqual(self.receive(peer, 4), b"one\n")
        terminal.type("two\r\x04")
        peer.sendall(b"ok")
        self.assertEqual(self.receive(peer, 4), b"two\n")
        peer.sendall(b"ok")
        self.assertEqual(peer.recv(1), b"")
        peer.close()
        self.assertEqual(terminal.status(), 0)
        self.assertEqual(str(terminal.picture()).count("two"), 1)

    def test_an_answer_in_two_pieces_does_not_tear_what_is_typed(self):
        terminal, peer = self.start()
        terminal.type("x\r")
        self.assertEqual(self.receive(peer, 2), b"x\n")
        peer.sendall("one 世".encode()[:-1])
        terminal.await_lines("one", ASK)
        terminal.type("typed")
        terminal.await_lines(ASK + "typed")
        peer.sendall("世".encode()[-1:] + b" two")
        terminal.await_lines("one", "世 two", ASK + "typed")
        terminal.type("!\r")
        self.assertEqual(self.receive(peer, 7), b"typed!\n")

    @needs_signals
    def test_a_window_that_changes_its_size_is_redrawn(self):
        terminal, peer = self.start()
        terminal.type("typed")
        terminal.await_lines(ASK + "typed")
        drawn = len(terminal.out.data)
        terminal.resize(30, 60)
        terminal.out.expect(b"typed", drawn)
        peer.sendall(b"news")
        terminal.await_lines("news", ASK + "typed")

    @needs_signals
    def test_a_suspended_dialogue_goes_on(self):
        terminal, peer = self.start()
        terminal.type("typed")
        terminal.await_lines(ASK + "typed")
        os.kill(terminal.pid, signal.SIGSTOP)
        drawn = len(terminal.out.data)
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.out.expect(b"typed", drawn)
        self.assertEqual(self.sent(terminal, peer, "!\r"), "typed!\n")

    @needs_signals
    def test_the_peers_end_ends_the_prompt(self):
        terminal, peer = self.start()
        terminal.type("typed")
        terminal.await_lines(ASK + "typed")
        peer.close()
        self.assertEqual(terminal.status(), 0)
        self.assertIn("krait: the server has closed the connection",
                      str(terminal.picture()))

    @needs_signals
    def test_the_terminal_is_given_back_as_it_was(self):
        for keys, status in (("\x04", 0), ("\x03", 130)):
            listener, address = self.listener()
            terminal = self.terminal("connect", address)
            peer = self.accept(listener)
            terminal.await_lines(ASK)
            slave = os.open("/proc/%d/fd/0" % terminal.pid,
                            os.O_RDWR | os.O_NOCTTY)
            self.addCleanup(os.close, slave)
            self.assertFalse(termios.tcgetattr(slave)[3] & termios.ICANON)
            terminal.type(keys)
            self.assertEqual(peer.recv(1), b"")
            peer.close()
            terminal.ended_with = wait_for(terminal.pid)
            self.assertEqual(terminal.ended_with, status)
            mode = termios.tcgetattr(slave)[3]
            self.assertTrue(mode & termios.ICANON and mode & termios.ECHO)

    def test_a_refused_connection_is_said_without_a_prompt(self):
        listener, address = self.listener()
        listener.close()
        terminal = self.terminal("connect", address)
        self.assertEqual(terminal.status(), 5)
        self.assertNotIn(ASK, str(terminal.picture()))

    def test_what_the_peer_sends_can_not_command_the_terminal(self):
        terminal, peer = self.start()
        peer.sendall(b"\x1b[31mred\x1b[2J\x9b\xc2\x9b\xe2\x80\xae")
        terminal.await_lines("\\x1B[31mred\\x1B[2J\\x9B\\xC2\\x9B"
                             "\\xE2\\x80\\xAE", ASK)


class PipeToATerminal(CommandTest):
    def test_control_bytes_are_shown_when_only_stdout_is_a_terminal(self):
        listener, address = self.listener()
        terminal = self.terminal("connect", "--recv-only", address)
        peer = self.accept(listener)
        peer.sendall("世".encode()[:1])
        peer.sendall("世".encode()[1:] + b"\x1b[2J\x00\n\xe4\xb8")
        peer.close()
        self.assertEqual(terminal.status(), 0)
        self.assertEqual(terminal.picture().lines(),
                         ["世\\x1B[2J\\x00", "\\xE4\\xB8"])


if __name__ == "__main__":
    main()
