#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/check/test_mutants.py MAKE - bugs as patches: what the build makes of them."""
import ctypes
import pathlib
import subprocess
import sys
import tempfile
import unittest

MAKE = pathlib.Path(sys.argv.pop(1)).resolve()
HEAD = 'From: a test\nSentence: one is two\nScenarios: none-at-all\n\n'
DIFF = '''--- a/src/{0}
+++ b/src/{0}
@@ -1,3 +1,3 @@
 {1}
-{2}
+{3}
 /* end */
'''


class Mutants(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write('src/m/one.h', '/* a header */\n#define ONE 1\n/* end */\n')
        self.write('src/one.c', '/* a file */\nint one(void) { return 1; }\n/* end */\n')
        self.write('src/n/uses.c', '#include "m/one.h"\nint used(void) { return ONE; }\n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def patch(self, text):
        self.write('A_BUG.patch', text)
        return self.root / 'A_BUG.patch'

    def build(self, text):
        return subprocess.run(
            [sys.executable, MAKE, 'build', self.root, self.patch(text), self.root / 'A_BUG.so',
             self.root / 'src/one.c', self.root / 'src/n/uses.c', '--', 'cc', '-fPIC'],
            capture_output=True, text=True, check=False)

    def refused(self, text, why):
        result = self.build(text)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn('check/mutants/A_BUG.patch: ', result.stderr)
        self.assertIn(why, result.stderr)

    of_file = HEAD + DIFF.format('one.c', '/* a file */', 'int one(void) { return 1; }',
                                 'int one(void) { return 2; }')
    of_header = HEAD + DIFF.format('m/one.h', '/* a header */', '#define ONE 1', '#define ONE 2')

    def test_an_object_has_the_patched_file_and_its_name(self):
        result = self.build(self.of_file)
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        library = ctypes.CDLL(str(self.root / 'A_BUG.so'))
        self.assertEqual(library.one(), 2)
        self.assertEqual(ctypes.string_at(library.patched_as), b'A_BUG')
        self.assertIn('int one(void) { return 1; }', (self.root / 'src/one.c').read_text())

    def test_a_patched_header_takes_along_what_includes_it(self):
        self.assertEqual(self.build(self.of_header).returncode, 0)
        self.assertEqual(ctypes.CDLL(str(self.root / 'A_BUG.so')).used(), 2)
        self.assertIn('src/n/uses.c', (self.root / 'A_BUG.d').read_text())

    def test_a_patch_that_does_not_apply_any_more_names_itself(self):
        self.write('src/one.c', '/* a file */\nint one(void) { return 3; }\n/* end */\n')
        self.refused(self.of_file, 'does not apply any more')
        self.refused(self.of_file.replace('one.c', 'gone.c'), 'there is no src/gone.c')

    def test_a_head_says_all(self):
        for head, why in (('Sentence: a\nScenarios: a\n\n', 'both From and Sentence'),
                          ('From: a\nSentence: a\n\n', 'either scenarios'),
                          ('Whence: a\nScenarios: a\n\n', 'not a line of a head: Whence: a')):
            self.refused(self.of_file.replace(HEAD, head), why)

    def test_the_table_has_the_heads(self):
        out = self.root / 'table'
        subprocess.run([sys.executable, MAKE, 'table', self.patch(self.of_file), out], check=True)
        self.assertEqual(out.read_text(),
                         'PATCH(A_BUG, "a test", "one is two", "none-at-all", NULL)\n')


if __name__ == '__main__':
    unittest.main()
