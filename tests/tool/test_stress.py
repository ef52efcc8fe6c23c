#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/tool/test_stress.py UMBRA - umbra stress and umbra demo, for a moment each."""
import json
import unittest

from command import umbra


class Stress(unittest.TestCase):
    def summary(self, *args, seconds=0.5):
        result = umbra('stress', f'--seconds={seconds}', *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout), result.stderr

    def test_it_tells_what_it_did(self):
        operations = ('read', 'tables', 'lazy', 'shared', 'lock', 'unmap', 'slots')
        for mode in ('tdp', 'shadow'):
            # A build for a sanitizer, or a busy system, takes longer for as much.
            for seconds in (0.5, 2, 8, 32):
                summary, progress = self.summary(f'--mmu={mode}', '--vcpus=3', '--seed=7',
                                                 seconds=seconds)
                if all(summary['operations'][operation] for operation in operations):
                    break
            self.assertEqual((summary['mmu'], summary['vcpus'], summary['seed']), (mode, 3, 7))
            self.assertIsNone(summary['hit'])
            self.assertIn('seed 7', progress)
            self.assertGreater(summary['checkpoints'], 0)
            self.assertGreater(summary['pages_harvested'], 0)
            self.assertGreater(summary['stats']['mmu_notifier_overlaps'], 0)
            for operation in operations:
                self.assertGreater(summary['operations'][operation], 0, operation)

    def test_only_what_is_asked_for_is_done(self):
        summary, _ = self.summary('--only=write,mmio,punch')
        done = {name for name, n in summary['operations'].items() if n}
        self.assertEqual(done, {'write', 'mmio', 'punch'})

    def test_all_sorts_of_log_come_up(self):
        logs = {self.summary(f'--seed={seed}', '--only=write,harvest')[0]['log']
                for seed in (1, 5, 7)}
        self.assertEqual(logs, {'ring', 'manual', 'bitmap'})


class Demo(unittest.TestCase):
    def test_all_that_it_checks_holds(self):
        result = umbra('demo', '--stats')
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        for phase in ('fill', 'live copy', 'move slot', 'take memory', 'final check'):
            self.assertRegex(result.stdout, rf'{phase} +held')
        self.assertGreater(json.loads(result.stderr)['vm']['remote_tlb_flush'], 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
