#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/tool/test_install.py UMBRA - what is installed, wherever it is put."""
import os
import pathlib
import re
import subprocess
import unittest

from command import BUILD, CLIENT, UMBRA, WithFolder, is_sanitized

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Installed(WithFolder):
    def setUp(self):
        super().setUp()
        subprocess.run(['meson', 'install', '-C', str(BUILD), '--no-rebuild', '--quiet',
                        '--destdir', str(self.path / 'staged')], check=True, timeout=120,
                       stdout=subprocess.DEVNULL)
        # As a tarball of it is unpacked somewhere.
        staged = next((self.path / 'staged').rglob('bin/umbra')).parent.parent
        self.root = self.path / 'unpacked'
        staged.rename(self.root)

    def run_it(self, *args, **kwargs):
        return subprocess.run([self.root / 'bin/umbra', *args], capture_output=True, text=True,
                              timeout=300, check=False, **kwargs)

    def test_its_parts_are_beside_it(self):
        result = self.run_it('run', '--', 'sh', '-c', 'echo "$LD_PRELOAD"')
        library = os.path.realpath(result.stdout.strip().split(':')[-1])
        self.assertTrue(library.startswith(str(self.root)), library)
        self.assertEqual(result.stderr, '')
        result = self.run_it('run', '--', self.compile(CLIENT))
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        for args in (['--only=mmio-cache', '--bound=0'], ['--mutant=FLUSH_ONLY_RUNNING']):
            result = self.run_it('check', *args)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_what_is_missing_is_named(self):
        for args, name in ((['run', '--', 'true'], 'libumbra-preload.so'),
                           (['check'], 'umbra-check')):
            next(self.root.rglob(name)).unlink()
            result = self.run_it(*args)
            if result.returncode == 0:
                self.skipTest('there is another installation')
            self.assertEqual(result.returncode, 126)
            self.assertIn(f'umbra: {name} is neither beside this command nor in', result.stderr)

    def test_a_mutant_that_is_missing_is_named(self):
        next(self.root.rglob('FLUSH_ONLY_RUNNING.so')).unlink()
        result = self.run_it('check', '--mutant=FLUSH_ONLY_RUNNING')
        self.assertEqual(result.returncode, 126)
        self.assertEqual(result.stderr,
                         'umbra: FLUSH_ONLY_RUNNING.so is not where umbra-check has its mutants\n')

    def test_manuals_and_completions_are_where_they_are_looked_for(self):
        for name in ('umbra', 'umbra-run', 'umbra-boot', 'umbra-demo', 'umbra-stress',
                     'umbra-check'):
            self.assertTrue((self.root / f'share/man/man1/{name}.1').exists(), name)
        self.assertTrue((self.root / 'share/bash-completion/completions/umbra').exists())
        self.assertTrue((self.root / 'share/zsh/site-functions/_umbra').exists())


class EmbedOnly(WithFolder):
    """The part that an embedder of <umbra/mmu.h> builds, where only liburcu is installed."""

    HIDDEN = ('Zydis/Zydis.h', 'jansson.h', 'cmocka.h', 'sys/sdt.h')

    def setUp(self):
        super().setUp()
        if is_sanitized():
            self.skipTest('builds without sanitizers all the same')
        packages = self.path / 'pkgconfig'
        packages.mkdir()
        found = subprocess.run(['pkg-config', '--variable=pcfiledir', 'liburcu-bp'],
                               capture_output=True, text=True, check=True).stdout.strip()
        (packages / 'liburcu-bp.pc').symlink_to(f'{found}/liburcu-bp.pc')
        for name in self.HIDDEN:
            header = self.path / 'hidden' / name
            header.parent.mkdir(parents=True, exist_ok=True)
            header.write_text(f'#error "{name} is not installed"\n')
        self.env = {**os.environ, 'PKG_CONFIG_LIBDIR': str(packages)}

    def run_meson(self, *args):
        result = subprocess.run(['meson', *args], env=self.env, text=True, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_it_needs_liburcu_alone(self):
        build = self.path / 'build'
        self.run_meson('setup', str(build), str(ROOT), '-Dkvm=disabled', '-Doptimization=0',
                       '--prefix=/usr', '--libdir=lib', f'-Dc_args=-I{self.path}/hidden')
        self.run_meson('compile', '-C', str(build))
        self.run_meson('test', '-C', str(build), '--suite', 'examples')
        self.run_meson('install', '-C', str(build), '--quiet', '--destdir',
                       str(self.path / 'staged'))
        root = self.path / 'staged/usr'
        self.assertEqual({path.name for path in (root / 'include/umbra').iterdir()},
                         {'mmu.h', 'mmu_inline.h', 'modes.h'})
        dynamic = subprocess.run(['readelf', '-d', root / 'lib/libumbra.so'], check=True,
                                 capture_output=True, text=True).stdout
        needed = set(re.findall(r'NEEDED.*\[(\w[\w-]*)\.so', dynamic))
        self.assertEqual(needed - {'ld-linux-x86-64'}, {'liburcu-bp', 'libc'})
        self.assertNotIn('Zydis', (root / 'lib/pkgconfig/umbra.pc').read_text())
        names = subprocess.run(['nm', '-D', '--defined-only', root / 'lib/libumbra.so'], check=True,
                               capture_output=True, text=True).stdout
        self.assertIn(' umbra_sigaction\n', names)
        self.assertNotIn(' umbra_open\n', names)


class Bare(WithFolder):
    """A file system without /proc and /dev."""

    def run_bare(self, *args):
        enter = ['unshare', '--mount', 'sh', '-c',
                 'mount -t tmpfs none /proc && mount -t tmpfs none /dev && exec "$@"', 'sh']
        if is_sanitized():
            self.skipTest('a sanitizer needs /proc')
        if subprocess.run([*enter, 'true'], capture_output=True, check=False).returncode:
            self.skipTest('needs the right to mount')
        return subprocess.run([*enter, str(UMBRA), *args], capture_output=True, text=True,
                              timeout=300, check=False)

    def test_programs_run_without_proc_and_dev(self):
        result = self.run_bare('run', '--', self.compile(CLIENT))
        self.assertEqual((result.returncode, result.stderr), (0, ''))

    def test_the_checker_is_found_without_proc(self):
        result = self.run_bare('check', '--only=mmio-cache', '--bound=0')
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
