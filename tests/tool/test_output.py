#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/tool/test_output.py UMBRA - what is written where, and what if it cannot be."""
import json
import os
import pty
import signal
import subprocess
import time
import unittest

from command import CLIENT, UMBRA, WithFolder, umbra

# (arguments; whether standard output is what they write to)
WRITERS = (
    (['--version'], True), (['--help'], True), (['--completion=bash'], True),
    (['run', '--help'], True), (['boot', '--help'], True), (['demo', '--help'], True),
    (['demo'], True),
    (['stress', '--seconds=0.2'], True), (['check', '--help'], True), (['check', '--list'], True),
    (['check', '--only=mmio-cache', '--bound=1'], True),
    (['check', '--only=mmio-cache', '--bound=1', '--json'], True),
    (['check', '--only=mmio-cache', '--bound=1', '--json=/dev/full'], False),
    (['check', '--only=mmio-cache', '--bound=1', '--html=/dev/full'], False),
    (['demo', '--stats=/dev/full'], False),
)


class Unwritable(WithFolder):
    def test_a_full_device_is_a_failure(self):
        for args, to_stdout in WRITERS:
            with open('/dev/full', 'w', encoding='utf-8') as full:
                out = {'stdout': full} if to_stdout else {'stdout': subprocess.DEVNULL}
                result = umbra(*args, capture_output=False, stderr=subprocess.PIPE, **out)
            self.assertNotEqual(result.returncode, 0, args)
            self.assertRegex(result.stderr, 'umbra: .*(No space left|could not be written)')

    def test_a_closed_standard_output_is_a_failure(self):
        for args, to_stdout in WRITERS:
            if not to_stdout:
                continue
            result = subprocess.run(['sh', '-c', '"$@" >&-', 'sh', str(UMBRA), *args],
                                    stderr=subprocess.PIPE, text=True, timeout=300, check=False)
            self.assertNotEqual(result.returncode, 0, args)
            self.assertIn('umbra: standard output: ', result.stderr)

    def test_a_program_has_the_descriptors_that_its_caller_gave(self):
        program = self.compile('''
            #include <fcntl.h>
            int main(void) {
                for (int fd = 0; fd < 1024; fd++)
                    if ((fcntl(fd, F_GETFD) >= 0) != (fd == 2)) return 1;
                return 0;
            }''')
        command = ['sh', '-c', '"$@" <&- >&-', 'sh', str(UMBRA), 'run', '--', program]
        result = subprocess.run(command, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_statistics_that_cannot_be_written_fail_a_program_that_succeeds(self):
        program = self.compile(CLIENT)
        result = umbra('run', '--stats=/dev/full', '--', program)
        self.assertEqual(result.returncode, 1)
        self.assertIn('umbra: statistics: /dev/full: No space left on device', result.stderr)
        script = self.script(f'#!/bin/sh\n{program}\nexit 5\n')
        self.assertEqual(umbra('run', '--stats=/dev/full', '--', script).returncode, 5)


class Screens(unittest.TestCase):
    def on_a_terminal(self, *args, **environment):
        """What is written to a terminal."""
        try:
            pid, master = pty.fork()
        except OSError:
            self.skipTest('there are no pseudo-terminals')
        if pid == 0:
            os.execve(str(UMBRA), [str(UMBRA), *args], {**os.environ, **environment})
        text = b''
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            text += part
        os.close(master)
        self.assertEqual(os.waitpid(pid, 0)[1], 0, text)
        return text

    def test_lines_are_rewritten_only_where_they_can_be(self):
        text = self.on_a_terminal('demo', TERM='xterm', NO_COLOR='')
        self.assertIn(b'\033[K', text)
        self.assertIn(b'\033[32m', text)
        text = self.on_a_terminal('demo', TERM='xterm', NO_COLOR='1')
        self.assertIn(b'\033[K', text)
        self.assertNotRegex(text, rb'\033\[\d+m')
        for args in (['demo'], ['stress', '--seconds=1.5'], ['check', '--only=mmio-cache']):
            text = self.on_a_terminal(*args, TERM='dumb', NO_COLOR='')
            self.assertNotIn(b'\033', text)
            self.assertNotIn(b'\r', text.replace(b'\r\n', b'\n'), args)


class Interrupts(unittest.TestCase):
    def interrupted(self, *args, ready):
        with subprocess.Popen([str(UMBRA), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as process:
            if ready == 'stderr':
                process.stderr.readline()
            else:
                process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def test_stress_tells_what_it_did(self):
        status, out, err = self.interrupted('stress', '--seconds=1000', ready='stderr')
        self.assertEqual(status, 130, err)
        self.assertIsNone(json.loads(out)['hit'])

    def test_check_tells_what_it_did_and_leaves_no_process(self):
        status, out, err = self.interrupted('check', '--jobs=3', ready='stdout')
        self.assertEqual(status, 130, err)
        self.assertRegex(out, r'interrupted: \d+ of \d+ explorations, \d+ complete, 0 failed')
        self.assertEqual(err, '')

    def test_check_writes_what_was_done_for_others_to_join(self):
        with subprocess.Popen([str(UMBRA), 'check', '--json'], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130)
        result = json.loads(out)
        self.assertLess(len(result['results']), result['jobs'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
