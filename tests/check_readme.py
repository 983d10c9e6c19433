# SPDX-License-Identifier: MIT
"""README.md's programs are programs: the server is the one in examples/, and
each compiles against the library and does what README says."""

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


def programs():
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as readme:
        return re.findall(r"```c\n(.*?)```", readme.read(), re.DOTALL)


def example(name):
    """Its code, without the comment that it opens with."""
    path = os.path.join(SOURCE, "examples", name)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text[text.index("#include"):]


class Readme(unittest.TestCase):
    def compile(self, text):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        source = os.path.join(folder, "program.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        program = os.path.join(folder, "program")
        subprocess.run(
            ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror",
             "-I" + os.path.join(SOURCE, "include"), source, "-o", program,
             os.path.join(BUILD, "libkrait.a"), "-pthread"],
            check=True, timeout=PATIENCE)
        return program

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


if __name__ == "__main__":
    if os.environ.get("KRAIT_SANITIZE") or not shutil.which("cc"):
        print("skipped: the library is instrumented, or there is no cc")
        sys.exit(77)
    unittest.main()
