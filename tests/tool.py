#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/tool.py UMBRA - the command as its users call it."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

UMBRA = sys.argv.pop(1)


def umbra(*args, **kwargs):
    return subprocess.run([UMBRA, *args], capture_output=True, text=True, timeout=300, **kwargs)


class Options(unittest.TestCase):
    def test_help_and_version_go_to_standard_output(self):
        for args in (['--help'], ['run', '--help'], ['stress', '--help']):
            result = umbra(*args)
            self.assertEqual(result.returncode, 0)
            self.assertIn('Usage:', result.stdout)
            self.assertEqual(result.stderr, '')
        self.assertRegex(umbra('--version').stdout, r'^umbra \d+\.\d+\.\d+\n$')

    def test_a_wrong_call_is_2_and_says_why(self):
        for args, words in ((['walk'], 'no such command'),
                            (['run', '--mmu=flat'], 'tdp and shadow'),
                            (['run', '--log=loud'], 'levels'), (['run', '--bad'], 'Try'),
                            (['run', '--flush=never', '--', 'true'], 'mmu-writable and writable'),
                            (['run', '--stats=/nowhere/at/all', '--', 'true'], 'No such file'),
                            (['stress', '--bad'], 'Try'), (['stress', 'now'], 'options only'),
                            (['stress', '--mmu=flat'], 'tdp and shadow'),
                            (['stress', '--vcpus=0'], 'from 1 to 32'),
                            (['stress', '--vcpus=4x'], 'from 1 to 32'),
                            (['stress', '--seconds=-1'], 'above 0'),
                            (['stress', '--seed=x'], 'a number'),
                            (['stress', '--only=read,pray'], 'no such operation: pray'),
                            (['stress', '--only=unmap'], "of guests'")):
            result = umbra(*args)
            self.assertEqual(result.returncode, 2, args)
            self.assertIn(words, result.stderr)
        self.assertEqual(umbra().returncode, 2)


class Programs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def compile(self, text, *flags):
        source, program = self.path / 'p.c', self.path / 'p'
        source.write_text(text)
        subprocess.run(['gcc', str(source), '-o', str(program), *flags], check=True)
        return str(program)

    def test_the_exit_status_is_the_programs(self):
        self.assertEqual(umbra('run', '--', 'sh', '-c', 'exit 37').returncode, 37)
        self.assertEqual(umbra('run', 'true').returncode, 0)
        self.assertLess(umbra('run', '--', 'sh', '-c', 'kill -9 $$').returncode, 0)

    def test_what_cannot_be_run_is_refused_first(self):
        static = self.compile('int main(void) { return 0; }', '-static')
        self.assertIn('statically linked', umbra('run', '--', static).stderr)
        other = self.path / 'arm'
        header = bytearray(pathlib.Path(static).read_bytes()[:64])
        header[18] = 183  # EM_AARCH64
        other.write_bytes(header)
        other.chmod(0o755)
        self.assertIn('another architecture', umbra('run', '--', str(other)).stderr)
        text = self.path / 'text'
        text.write_text('hello')
        self.assertEqual(umbra('run', '--', str(text)).returncode, 126)
        text.chmod(0o755)
        self.assertEqual(umbra('run', '--', str(text)).returncode, 126)
        script = self.path / 'script'
        script.write_text(f'#!{static}\n')
        script.chmod(0o755)
        self.assertIn('statically linked', umbra('run', '--', str(script)).stderr)
        self.assertEqual(umbra('run', '--', str(self.path / 'none')).returncode, 127)
        self.assertEqual(umbra('run', '--', 'no-such-program-anywhere').returncode, 127)

    def test_programs_see_the_device(self):
        program = self.compile('''
            #include <fcntl.h>
            #include <stdio.h>
            #include <sys/ioctl.h>
            #include <linux/kvm.h>
            #include <unistd.h>
            int main(void) {
                int fd = open("/dev/kvm", O_RDWR), copy = dup(fd);
                printf("%d %d %d", access("/dev/kvm", R_OK | W_OK),
                       ioctl(fd, KVM_GET_API_VERSION, 0), ioctl(copy, KVM_GET_API_VERSION, 0));
                close(copy);
                printf(" %d", ioctl(copy, KVM_GET_API_VERSION, 0));
                dup2(0, fd);
                printf(" %d", ioctl(fd, KVM_GET_API_VERSION, 0));
                return 0;
            }''')
        result = umbra('run', '--', program)
        self.assertEqual(result.stdout, '0 12 12 -1 -1', result.stderr)

    def test_statistics_are_json(self):
        file = self.path / 'stats.json'
        program = self.compile('''
            #include <fcntl.h>
            #include <sys/ioctl.h>
            #include <linux/kvm.h>
            int main(void) {
                int vm = ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0);
                return ioctl(vm, KVM_CREATE_VCPU, 0) < 0;
            }''')
        self.assertEqual(umbra('run', f'--stats={file}', '--', program).returncode, 0)
        stats = json.loads(file.read_text())
        self.assertEqual((stats['vms'], stats['vcpus']), (1, 1))
        for name in ('remote_tlb_flush', 'mmu_zapped', 'dirty_pages_harvested'):
            self.assertIn(name, stats['vm'])
        for name in ('instructions', 'tlb_fills', 'pf_taken', 'io_exits'):
            self.assertIn(name, stats['vcpu'])
        self.assertIn('"vms": 1', umbra('run', '--stats', '--', program).stderr)
        self.assertEqual(umbra('run', '--stats', '--', 'true').stderr, '')

    def test_the_programs_own_fault_handler_is_called(self):
        program = self.compile('''
            #include <fcntl.h>
            #include <signal.h>
            #include <stdlib.h>
            #include <sys/ioctl.h>
            #include <linux/kvm.h>
            static void on_fault(int sig) { _Exit(sig == SIGSEGV ? 5 : 6); }
            int main(int argc, char **argv) {
                if (argc > 1) signal(SIGSEGV, on_fault);
                ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0);
                struct sigaction action = { .sa_handler = on_fault };
                if (argc == 1) sigaction(SIGSEGV, &action, 0);
                *(volatile int *)8 = 1;
                return 0;
            }''', '-w')
        self.assertEqual(umbra('run', '--', program).returncode, 5)
        self.assertEqual(umbra('run', '--', program, 'before').returncode, 5)


class Stress(unittest.TestCase):
    def summary(self, *args):
        result = umbra('stress', '--seconds=0.5', *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout), result.stderr

    def test_it_tells_what_it_did(self):
        for mode in ('tdp', 'shadow'):
            summary, progress = self.summary(f'--mmu={mode}', '--vcpus=3', '--seed=7')
            self.assertEqual((summary['mmu'], summary['vcpus'], summary['seed']), (mode, 3, 7))
            self.assertIsNone(summary['hit'])
            self.assertIn('seed 7', progress)
            self.assertGreater(summary['checkpoints'], 0)
            self.assertGreater(summary['pages_harvested'], 0)
            self.assertGreater(summary['stats']['mmu_notifier_overlaps'], 0)
            for operation in ('read', 'tables', 'lazy', 'shared', 'lock', 'unmap', 'slots'):
                self.assertGreater(summary['operations'][operation], 0, operation)

    def test_only_what_is_asked_for_is_done(self):
        summary, _ = self.summary('--only=write,mmio,punch')
        done = {name for name, n in summary['operations'].items() if n}
        self.assertEqual(done, {'write', 'mmio', 'punch'})

    def test_all_sorts_of_log_come_up(self):
        logs = {self.summary(f'--seed={seed}', '--only=write,harvest')[0]['log']
                for seed in (1, 5, 7)}
        self.assertEqual(logs, {'ring', 'manual', 'bitmap'})


class BuiltInGuest(unittest.TestCase):
    def test_all_that_it_checks_holds(self):
        result = umbra('run', '--stats')
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        for phase in ('fill', 'live copy', 'move slot', 'take memory', 'final check'):
            self.assertRegex(result.stdout, rf'{phase} +held')
        self.assertGreater(json.loads(result.stderr)['vm']['remote_tlb_flush'], 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
