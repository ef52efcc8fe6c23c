#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/preload/scripts.py UMBRA - what scripts ask about the device before they use it."""
import os
import shutil
import subprocess
import sys
import unittest

UMBRA = sys.argv.pop(1)
# The programs are not ours: what they leave to exit() is no leak of Umbra's.
ENVIRONMENT = {**os.environ,
               'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0'}


def run(*command):
    return subprocess.run([UMBRA, 'run', '--', *command], capture_output=True, text=True,
                          timeout=60, env=ENVIRONMENT)


class Scripts(unittest.TestCase):
    def says(self, command, words):
        result = run(*command)
        self.assertEqual(result.returncode, 0, (command, result.stderr))
        self.assertIn(words, result.stdout)

    def test_shells(self):
        questions = ('[ -c /dev/kvm ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] && '
                     '! [ -x /dev/kvm ] && ! [ -f /dev/kvm ] && [ -e //dev/kvm ] && '
                     'cd /dev && test -c kvm && echo yes')
        for shell in ('sh', 'bash', 'dash'):
            if shutil.which(shell):
                with self.subTest(shell):
                    self.says([shell, '-c', questions], 'yes')

    def test_a_shell_opens_it_for_its_children(self):
        child = 'import fcntl; print(fcntl.ioctl(9, 0xae00))'
        self.says(['sh', '-c', f'exec 9<>/dev/kvm; exec {sys.executable} -c "{child}"'], '12')

    def test_the_core_utilities(self):
        self.says(['ls', '-l', '/dev/kvm'], 'crw-rw-rw-')
        self.says(['ls', '-l', '/dev/kvm'], '10, 232')
        self.assertEqual(run('ls', '-l', '/dev/kvm').stderr, '')
        self.says(['stat', '-c', '%F %a %t %T', '/dev/kvm'], 'character special file 666 a e8')
        self.says(['env', 'test', '-c', '/dev/kvm', '-a', '-r', '/dev/kvm', '-a', '-w',
                   '/dev/kvm'], '')
        self.says(['readlink', '-e', '/dev/../dev/kvm'], '/dev/kvm')
        self.assertIn('Invalid argument', run('cat', '/dev/kvm').stderr)

    def test_python(self):
        self.says([sys.executable, '-c', '''
import fcntl, os, stat
status = os.stat('/dev/kvm')
assert stat.S_ISCHR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o666
assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == (10, 232)
assert os.access('/dev/kvm', os.R_OK | os.W_OK) and not os.access('/dev/kvm', os.X_OK)
assert os.path.exists('/dev/kvm') and os.path.realpath('//dev/kvm') == '/dev/kvm'
with open('/dev/kvm', 'r+b', buffering=0) as device:
    assert fcntl.ioctl(device, 0xae00) == 12
    assert os.fstat(device.fileno()).st_rdev == status.st_rdev
folder = os.open('/dev', os.O_RDONLY)
device = os.open('kvm', os.O_RDWR, dir_fd=folder)
assert fcntl.ioctl(device, 0xae00) == 12
os.close(device)
print('yes')
'''], 'yes')


if __name__ == '__main__':
    unittest.main(verbosity=2)
