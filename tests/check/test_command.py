#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/check/test_command.py UMBRA - `umbra check` as its users call it."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

UMBRA = sys.argv.pop(1)


def check(*args):
    return subprocess.run([UMBRA, 'check', *args], capture_output=True, text=True, timeout=250,
                          check=False)


class Options(unittest.TestCase):
    def test_help_goes_to_standard_output(self):
        result = check('--help')
        self.assertEqual(result.returncode, 0)
        self.assertIn('--without=RULE', result.stdout)

    def test_a_wrong_call_is_2_and_says_why(self):
        for args in (['--without=NO_SUCH_RULE'], ['--mutant=SEQ_BEFORE_PFN'], ['--shard=3/2'],
                     ['--bound=many'], ['--replay=umbra1/x/tdp/weak/-/1.1'], ['--only=nothing'],
                     ['stray'], ['--memory=strong'], ['--merge', '/nowhere/at/all']):
            result = check(*args)
            self.assertEqual(result.returncode, 2, args)
            self.assertNotEqual(result.stderr, '', args)

    def test_the_list_names_every_kind(self):
        text = check('--list').stdout
        for name in ('fault-notifier-page', 'SEQ_BEFORE_PFN', 'DEBT_RESET_TO_ZERO'):
            self.assertIn(name, text)


class Findings(unittest.TestCase):
    def token_of(self, text):
        return re.search(r'--replay (\S+)', text).group(1)

    def test_without_a_rule_the_run_is_shown_and_explained(self):
        result = check('--without=FLUSH_BEFORE_FREE')
        self.assertEqual(result.returncode, 0)
        self.assertIn('invalidate_range_start', result.stdout)
        self.assertIn('freed page: vCPU 0', result.stdout)
        self.assertIn('TLB of vCPU 0', result.stdout)

    def test_a_replay_is_the_same_to_the_byte(self):
        token = self.token_of(check('--mutant=RING_INDEX_AFTER_FLAG').stdout)
        first, second = check('--replay', token), check('--replay', token)
        self.assertEqual(first.returncode, 1)
        self.assertEqual(first.stdout, second.stdout)

    def test_the_same_choices_without_the_bug_do_not_fail(self):
        token = self.token_of(check('--mutant=RING_INDEX_AFTER_FLAG').stdout)
        result = check('--replay', token.replace('/RING_INDEX_AFTER_FLAG/', '/-/'))
        self.assertEqual(result.returncode, 0)

    def test_without_the_oracles_nothing_is_found(self):
        result = check('--without=FLUSH_BEFORE_FREE', '--only=fault-notifier-page', '--blind',
                       '--bound=2')
        self.assertEqual(result.returncode, 1)

    def test_chance_finds_it_too(self):
        result = check('--without=FLUSH_BEFORE_FREE', '--only=fault-notifier-page', '--random')
        self.assertEqual(result.returncode, 0)


    def test_mutants_are_found_each_in_its_process(self):
        result = check('--mutants', '--only=RING_')
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn('RING_INDEX_AFTER_FLAG              ring-reset ', result.stdout)
        self.assertIn('RING_PUBLISH                       ring-reset ', result.stdout)


class Generated(unittest.TestCase):
    PROGRAM = ('paged,log:v0.read11,v0.fill7,v0.exit,v1.write2,v1.exit:'
               'v0.clean2,v0.load8,v0.read3+v1.write2+client.get0')

    def test_a_part_of_the_smallest_holds(self):
        result = check('--generate', '--size=2', '--bound=1', '--shard=3/20', '--jobs=2')
        self.assertEqual(result.returncode, 0, result.stdout)
        programs, complete = map(int, re.search(
            r'(\d+) generated scenarios, (\d+) complete to bound 1', result.stdout).groups())
        self.assertGreater(programs, 80)
        self.assertEqual(complete, programs)

    def test_chance_goes_beyond_them(self):
        result = check('--generate', '--random', '--bound=1', '--jobs=1', '--seconds=1')
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertGreater(int(result.stdout.split()[0]), 0)

    def test_what_it_finds_is_small_and_can_be_replayed_and_kept(self):
        result = check('--without=RETRY_UNDER_LOCK', '--generate', '--jobs=1')
        self.assertEqual(result.returncode, 0, result.stdout)
        token = re.search(r'--replay (\S+)', result.stdout).group(1)
        program = token.split('/')[1]
        self.assertLessEqual(program.count('.'), 4, program)
        again = check('--replay', token)
        self.assertEqual(again.returncode, 1)
        self.assertIn('freed page', again.stdout)
        self.assertIn(f'GENERATED(name,\n\t"{program}"', result.stdout)
        self.assertEqual(check('--replay', token.replace('/RETRY_UNDER_LOCK/', '/-/')).returncode,
                         0)

    def test_a_program_may_be_said(self):
        result = check(f'--only={self.PROGRAM}', '--bound=1', '--mode=shadow')
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn('1 explorations, 1 complete', result.stdout)

    def test_what_means_nothing_is_refused(self):
        for program in ('flat::v0.map2to3', 'flat::v0.read1+v0.read1', 'log,ring::client.get0',
                        'flat::client.create1+client.delete1', 'flat::', 'nowhere::v0.read1',
                        'flat::v0.read1,', 'flat::v9.read1', 'flat::host.unmap1to99',
                        'log,awaited::v0.read1+client.getawaited0'):
            self.assertEqual(check('--replay', f'umbra1/{program}/tdp/weak/-/').returncode, 2,
                             program)

    def test_a_program_finds_the_lost_dirty_page(self):
        result = check('--mutant=SYNC_TAKES_W_UNOWED', f'--only={self.PROGRAM}', '--bound=1',
                       '--mode=shadow')
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn('lost dirty page', result.stdout)
        self.assertIn('w-lost-by-sync/shadow/', check(
            '--mutant=SYNC_TAKES_W_UNOWED', '--only=w-lost-by-sync', '--bound=1').stdout)


class Parts(unittest.TestCase):
    def test_shards_make_up_the_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            parts = [str(pathlib.Path(folder) / f'{i}.json') for i in (1, 2, 3)]
            for i, part in enumerate(parts, 1):
                self.assertEqual(check('--only=fault-notifier', '--bound=1', f'--shard={i}/3',
                                       f'--json={part}').returncode, 0)
            merged = check('--merge', *parts)
            self.assertEqual(merged.returncode, 0)
            self.assertIn('4 of 4 done, 0 failed', merged.stdout)
            self.assertEqual(check('--merge', *parts[:2]).returncode, 1)
            self.assertEqual(json.loads(pathlib.Path(parts[0]).read_text())['shards'], 3)

    def test_json_on_standard_output_is_alone_there(self):
        result = check('--only=fault-notifier-page', '--bound=1', '--json')
        self.assertTrue(all(r['complete'] for r in json.loads(result.stdout)['results']))


if __name__ == '__main__':
    unittest.main()
