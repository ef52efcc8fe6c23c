#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/tool/test_log.py UMBRA - what the library tells: the log and the statistics."""
import json
import os
import unittest

from command import BUILD, CLIENT, WithFolder, is_sanitized, umbra


class Log(WithFolder):
    def setUp(self):
        super().setUp()
        self.program = self.compile(CLIENT)

    def test_what_a_client_does_not_get_is_told_once_by_name(self):
        lines = umbra('run', '--log=info', '--', self.program).stderr.splitlines()
        self.assertEqual(lines, [
            'umbra: KVM_CAP_X86_SMM: asked for, not offered',
            'umbra: capability 54321: asked for, not offered',
            'umbra: KVM_CREATE_VCPU on a VM: refused: EEXIST',
            'umbra: KVM_ENABLE_CAP of KVM_CAP_HYPERV_SYNIC on a VM: refused: EINVAL',
            'umbra: call 0xae99 on a vCPU: refused: EINVAL'])

    def test_debug_tells_every_call_with_its_result(self):
        text = umbra('run', '--log=debug', '--', self.program).stderr
        self.assertRegex(text, r'umbra: KVM_CREATE_VM\(\d+: the system, 0\) = \d+\n')
        self.assertEqual(text.count(': a VM, 0) = -17 EEXIST\n'), 3)
        self.assertEqual(text.count('KVM_CAP_HLT: 0x1) = 1\n'), 3)

    def test_nothing_is_told_unasked(self):
        self.assertEqual(umbra('run', '--', self.program).stderr, '')

    def test_levels_have_names_and_numbers_in_the_environment_too(self):
        for level, lines in (('info', 5), ('6', 5), ('warning', 0), ('none', 0), ('', 0)):
            result = umbra('run', '--', self.program, env={**os.environ, 'UMBRA_LOG': level})
            self.assertEqual(len(result.stderr.splitlines()), lines, level)
        result = umbra('run', '--log=error', '--', self.program,
                       env={**os.environ, 'UMBRA_LOG': 'info'})
        self.assertEqual(result.stderr, '')

    def test_unknown_values_are_refused_with_those_that_are_known(self):
        for variable, words in (('UMBRA_MMU', 'tdp and shadow'),
                                ('UMBRA_FLUSH', 'mmu-writable and writable'),
                                ('UMBRA_LOG', 'none, error, warning, info and debug')):
            for command in (['run', '--', self.program], ['demo']):
                result = umbra(*command, env={**os.environ, variable: 'wrong'})
                self.assertEqual(result.returncode, 2)
                self.assertIn(f'umbra: {variable}=wrong: ', result.stderr)
                self.assertIn(words, result.stderr)
            # A library that was preloaded by hand can only warn.
            environment = {**os.environ, variable: 'wrong',
                           'LD_PRELOAD': str(BUILD / 'libumbra-preload.so')}
            result = umbra('run', '--', self.program, env={**os.environ, 'UMBRA_MMU': 'shadow'})
            self.assertEqual((result.returncode, result.stderr), (0, ''))
            if not is_sanitized():
                result = umbra('--version', env=environment)
                self.assertEqual(result.returncode, 0)
                self.assertIn(f'umbra: {variable}=wrong: ', result.stderr)
                self.assertIn(words, result.stderr)


class Statistics(WithFolder):
    def test_they_are_a_line_of_json(self):
        file = self.path / 'stats.json'
        program = self.compile(CLIENT)
        self.assertEqual(umbra('run', f'--stats={file}', '--', program).returncode, 0)
        self.assertEqual(file.read_text().count('\n'), 1)
        stats = json.loads(file.read_text())
        self.assertEqual((stats['vms'], stats['vcpus'], stats['name']), (1, 1, 'p'))
        for name in ('remote_tlb_flush', 'mmu_zapped', 'dirty_pages_harvested'):
            self.assertIn(name, stats['vm'])
        for name in ('instructions', 'tlb_fills', 'pf_taken', 'io_exits'):
            self.assertIn(name, stats['vcpu'])
        self.assertIn('"vms": 1', umbra('run', '--stats', '--', program).stderr)
        self.assertEqual(umbra('run', '--stats', '--', 'true').stderr, '')

    def test_every_process_writes_a_line_of_its_own(self):
        file = self.path / 'stats.json'
        self.compile(CLIENT, name='one')
        self.compile(CLIENT, name='two')
        script = self.script(f'#!/bin/sh\ncd {self.path}\n'
                             'for i in 1 2 3 4; do ./one & ./two & done\nwait\n')
        self.assertEqual(umbra('run', f'--stats={file}', '--', script).returncode, 0)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        self.assertEqual(sorted(line['name'] for line in lines), ['one'] * 4 + ['two'] * 4)
        self.assertEqual(len({line['pid'] for line in lines}), 8)

    def test_the_variable_holds_if_no_option_is_given(self):
        file = self.path / 'stats.json'
        file.write_text('{"kept": true}\n')
        program = self.compile(CLIENT, name='na"me')
        umbra('run', '--', program, env={**os.environ, 'UMBRA_STATS': str(file)})
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        self.assertTrue(lines[0]['kept'])
        self.assertEqual(lines[1]['name'], 'na"me')


if __name__ == '__main__':
    unittest.main(verbosity=2)
