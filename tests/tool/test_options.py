#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/tool/test_options.py UMBRA - options, and that help, manual and completion agree."""
import pathlib
import re
import subprocess
import unittest

from command import COMMANDS, umbra

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMPLETE = '''
    source /dev/stdin
    compopt() { :; }
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _umbra
    printf '%s\\n' "${COMPREPLY[@]}"
'''


def options_of_help(*command):
    return set(re.findall(r'^ +--([a-z]+)', umbra(*command, '--help').stdout, re.M))


class Options(unittest.TestCase):
    def test_help_and_version_go_to_standard_output(self):
        for command in ([], *([c] for c in COMMANDS)):
            for option in ('--help', '-h'):
                result = umbra(*command, option)
                self.assertEqual(result.returncode, 0)
                self.assertTrue(result.stdout.startswith('Usage: umbra'), command)
                self.assertEqual(result.stderr, '')
            for option in ('--version', '-V'):
                self.assertRegex(umbra(*command, option).stdout, r'^umbra \d+\.\d+\.\d+\n$')

    def test_a_wrong_call_is_2_and_says_why(self):
        for args, words in ((['walk'], 'no such command'), ([], 'a command is needed'),
                            (['run', '--mmu=flat'], 'tdp and shadow'),
                            (['run', '--log=loud'], 'none, error, warning, info and debug'),
                            (['run', '--bad'], "--bad: no such option (try 'umbra run --help')"),
                            (['run', '-x'], '-x: no such option'),
                            (['run', '--mmu'], 'a value is needed'),
                            (['demo', '--help=x'], 'it takes no value'),
                            (['run', '--flush=never', '--', 'true'], 'mmu-writable and writable'),
                            (['run', '--stats=/nowhere/at/all', '--', 'true'], 'No such file'),
                            (['demo', 'now'], 'options only'), (['demo', '--mmu=flat'], 'tdp and'),
                            (['stress', '--bad'], 'try'), (['stress', 'now'], 'options only'),
                            (['stress', '--mmu=flat'], 'tdp and shadow'),
                            (['stress', '--vcpus=0'], 'from 1 to 32'),
                            (['stress', '--vcpus=4x'], 'from 1 to 32'),
                            (['stress', '--seconds=-1'], 'above 0'),
                            (['stress', '--seed=x'], 'a number'),
                            (['stress', '--only=read,pray'], 'no such operation: pray'),
                            (['stress', '--only=unmap'], "of guests'"),
                            (['check', '--bad'], 'try'),
                            (['check', '--memory=strong'], 'sc, tso and weak')):
            result = umbra(*args)
            self.assertEqual(result.returncode, 2, args)
            self.assertIn(words, result.stderr)
            self.assertTrue(result.stderr.startswith('umbra: '), result.stderr)
            self.assertEqual(result.stdout, '')

    def test_run_without_a_program_is_a_wrong_call(self):
        """A variable that is empty by mistake must not look like a success."""
        for args in (['run'], ['run', '--'], ['run', '--stats', '--']):
            result = umbra(*args)
            self.assertEqual(result.returncode, 2, args)
            self.assertIn('a program is needed', result.stderr)
        self.assertEqual(umbra('run', '--', '').returncode, 127)


class Agreement(unittest.TestCase):
    def test_every_option_is_in_the_manual_and_no_other(self):
        for page, command in (('umbra', []), *((f'umbra-{c}', [c]) for c in COMMANDS)):
            text = (ROOT / 'man' / f'{page}.1').read_text()
            described = set(re.findall(r'^\.It Fl Fl ([a-z]+)', text, re.M))
            self.assertEqual(described, options_of_help(*command), page)

    def test_help_names_every_command(self):
        text = umbra('--help').stdout
        for command in COMMANDS:
            self.assertRegex(text, rf'\n  {command} ')

    def complete(self, *words):
        script = umbra('--completion=bash').stdout
        result = subprocess.run(['bash', '-c', COMPLETE, 'umbra', *words], input=script,
                                capture_output=True, text=True, check=True)
        self.assertEqual(result.stderr, '')
        return set(result.stdout.split())

    def test_bash_completes_commands_options_and_values(self):
        self.assertLessEqual(set(COMMANDS), self.complete('umbra', ''))
        for command in COMMANDS:
            offered = {word.removeprefix('--').rstrip('=')
                       for word in self.complete('umbra', command, '--')}
            self.assertEqual(offered, options_of_help(command))
        self.assertEqual(self.complete('umbra', 'run', '--mmu', '='), {'tdp', 'shadow'})
        self.assertEqual(self.complete('umbra', 'check', '--memory', '=', 't'), {'tso'})
        self.assertEqual(self.complete('umbra', '--completion', '=', 'b'), {'bash'})
        self.assertIn('true', self.complete('umbra', 'run', '--mmu', '=', 'tdp', '--', 'tru'))

    def test_zsh_has_every_option_too(self):
        text = umbra('--completion=zsh').stdout
        self.assertTrue(text.startswith('#compdef umbra\n'))
        for command in COMMANDS:
            part = text.split(f'\t{command})\n')[1].split(';;')[0]
            self.assertEqual(set(re.findall(r"^\t+'--([a-z]+)", part, re.M)),
                             options_of_help(command))


if __name__ == '__main__':
    unittest.main(verbosity=2)
