# SPDX-License-Identifier: MIT
"""README.md's programs are programs: the server is the one in examples/, and
each compiles against the library and does what README says. So does the one
that docs/fibers.md begins with; what else that page shows compiles too."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.environ["KRAIT_SOURCE"]
BUILD = os.environ["KRAIT_BUILD"]
PATIENCE = 30


def programs(page="README.md"):
    with open(os.path.join(SOURCE, page), encoding="utf-8") as text:
        return re.findall(r"```c\n(.*?)```", text.read(), re.DOTALL)


def example(name):
    """Its code, without the comment that it opens with."""
    path = os.path.join(SOURCE, "examples", name)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text[text.index("#include"):]


class PageTest(unittest.TestCase):
    def cc(self, text, *more):
        """What it makes of `text`."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        source = os.path.join(folder, "program.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        program = os.path.join(folder, "program")
        subprocess.run(
            ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror",
             "-I" + os.path.join(SOURCE, "include"), source, "-o", program,
             *more], check=True, timeout=PATIENCE)
        return program

    def compile(self, text):
        """A whole program."""
        return self.cc(text, "-L" + BUILD, "-lkrait", "-Wl,-rpath," + BUILD)


class Readme(PageTest):
    def test_it_has_a_server_and_a_client(self):
        self.assertEqual(len(programs()), 2)

    def test_the_server_is_the_example(self):
        shown, kept = (re.sub(r"/\* clang-format (on|off) \*/\n*", "", text)
                       for text in (programs()[0], example("socketserver.c")))
        self.assertEqual(shown.strip(), kept.strip())
        self.compile(programs()[0])

    def test_the_client_gets_its_answer(self):
        server = subprocess.Popen(
            [os.environ["KRAIT"], "serve", "127.0.0.1:0"],
            stdout=subprocess.PIPE)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait, PATIENCE)
        self.addCleanup(server.terminate)
        port = server.stdout.readline().rsplit(b":", 1)[1].strip().decode()
        client = programs()[1]
        self.assertIn('"localhost", 8001', client)
        client = self.compile(client.replace("8001", port))
        answer = subprocess.run([client], stdout=subprocess.PIPE, check=True,
                                timeout=PATIENCE).stdout
        self.assertEqual(answer, b"server received you message.\n")


class Fibers(PageTest):
    """docs/fibers.md, and krait_fibers(7)."""

    def test_its_first_program_runs(self):
        program = self.compile(programs("docs/fibers.md")[0])
        done = subprocess.run([program], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (0, b"heard: hello\n", b""))

    def test_its_other_pieces_compile(self):
        first, *others = programs("docs/fibers.md")
        headers = "".join(re.findall(r"#include .*\n", first))
        self.assertTrue(others)
        for piece in others:
            with self.subTest(piece=piece):
                self.cc(headers + piece, "-c", "-Wno-unused-function")

    def test_the_manual_s_example_is_a_program(self):
        path = os.path.join(SOURCE, "man", "krait_fibers.7")
        with open(path, encoding="utf-8") as page:
            shown = re.search(r"^\.Bd -literal.*?\n(.*?)^\.Ed", page.read(),
                              re.DOTALL | re.MULTILINE)
        self.compile(shown.group(1))


if __name__ == "__main__":
    if os.environ.get("KRAIT_SANITIZE") or not shutil.which("cc"):
        print("skipped: the library is instrumented, or there is no cc")
        sys.exit(77)
    unittest.main()
