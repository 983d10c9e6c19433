"""What the checkers share: reading C without being fooled by its comments.

The checkers look at text, not at a parse, so that they run on a tree that
doesn't compile.  What they need for that is here: comments and literals
blanked out with every line kept in its place, and a way to test a checker on
a tree of made-up files.
"""

import os
import re
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_TOKENS = re.compile(
    r'(?P<comment>/\*.*?(?:\*/|\Z)|//(?:\\\n|[^\n])*)'
    r'|(?P<literal>"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')',
    re.DOTALL)


def _blank(text):
    return re.sub(r'[^\n]', ' ', text)


def without_comments(text):
    """TEXT with its comments blanked; literals stay."""
    return _TOKENS.sub(
        lambda m: _blank(m[0]) if m['comment'] else m[0], text)


def code_only(text):
    """TEXT with its comments and the insides of its literals blanked."""
    return _TOKENS.sub(
        lambda m: _blank(m[0]) if m['comment']
        else m[0][0] + _blank(m[0][1:-1]) + m[0][-1], text)


def read(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read()


def sources(root, *folders, suffixes=('.c', '.h', '.cpp', '.S')):
    """The C files below ROOT's FOLDERS, as sorted paths relative to ROOT."""
    found = []
    for folder in folders:
        for where, _, names in os.walk(os.path.join(root, folder)):
            found += [os.path.relpath(os.path.join(where, name), root)
                      for name in names if name.endswith(suffixes)]
    return sorted(found)


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1


def self_test(check, good, bad):
    """CHECK(root) must find nothing in the tree GOOD ({path: text}), and must
    find something in GOOD with each of BAD ({what: {path: text}}) laid over
    it.  Leaves with 0 or 1."""
    failed = False
    for what, extra in [('a good tree', {})] + list(bad.items()):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**good, **extra}.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)),
                            exist_ok=True)
                with open(os.path.join(root, path), 'w',
                          encoding='utf-8') as f:
                    f.write(text)
            complaints = check(root)
        # Each bad tree has one fault: more complaints are false ones.
        if len(complaints) != (1 if extra else 0):
            print(f'self-test: {what}: {complaints or "nothing found"}')
            failed = True
    print(f'self-test: {len(bad) + 1} trees,',
          'a failure' if failed else 'as expected')
    sys.exit(failed)


def finish(complaints):
    """Prints COMPLAINTS and leaves: 1 if there are any, otherwise 0."""
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    sys.exit(1 if complaints else 0)


def main(check, good, bad):
    """The command line of a checker of trees: nothing, or --self-test."""
    if sys.argv[1:] == ['--self-test']:
        self_test(check, good, bad)
    if sys.argv[1:]:
        sys.exit(f'usage: {sys.argv[0]} [--self-test]')
    finish(check(ROOT))
