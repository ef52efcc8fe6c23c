#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is reported works: each name in docs/REPORTED.md is reported, and has its test.

    reported.py PROGRAM DOCUMENT BUILD

PROGRAM prints what is reported (reported.c).  Fails if something is reported that has no row
in the document, if a row is not reported, or if a test named in it does not exist: BUILD is
the folder that Meson has configured.  A row with "(host)" is reported on some hosts only.
"""
import json
import pathlib
import re
import subprocess
import sys

ROW = re.compile(r'^\| (`.*) \| (.*) \| (.*) \|$')

failures = []


def fail(what):
    failures.append(what)


def expand(name):
    """MSR.268-26F is eight of them."""
    found = re.fullmatch(r'(MSR)\.([0-9A-F]+)-([0-9A-F]+)', name)
    if not found:
        return [name]
    first, last = int(found.group(2), 16), int(found.group(3), 16)
    return [f'{found.group(1)}.{index:X}' for index in range(first, last + 1)]


def read_rows(document):
    """The names of each row, whether every host has them, and its tests."""
    rows = []
    for line in document.read_text().split('\n'):
        found = ROW.match(line)
        if found:
            names = [name for listed in re.findall(r'`([^`]+)`', found.group(1))
                     for name in expand(listed)]
            rows.append((names, '(host)' in found.group(2), found.group(3)))
    return rows


def compare(reported, rows):
    listed = [name for names, _, _ in rows for name in names]
    for name in sorted(reported - set(listed)):
        fail(f'{name} is reported: add a row, with the test that shows that it works')
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        fail(f'{name} has two rows: remove one')
    for names, optional, _ in rows:
        for name in names:
            if name not in reported and not optional:
                fail(f'{name} is not reported: remove its row, or mark it "(host)"')


def sources_of_tests(build):
    """Of each test by its name, the text of what it was compiled from."""
    info = build / 'meson-info'
    sources = {}
    for target in json.loads((info / 'intro-targets.json').read_text()):
        files = [file for group in target.get('target_sources', [])
                 for file in group.get('sources', [])]
        for name in target['filename']:
            sources[name] = files
    return {test['name']: [file for word in test['cmd'] for file in sources.get(word, [])]
            for test in json.loads((info / 'intro-tests.json').read_text())}


def check_tests(rows, sources):
    for names, _, tests in rows:
        pairs = re.findall(r'`([\w-]+)`: ([\w, ]+)', tests)
        if not pairs:
            fail(f'{names[0]}: its row needs a test: `name`: function')
        for test, functions in pairs:
            if test not in sources:
                fail(f'{names[0]}: Meson has no test {test}: correct the name')
                continue
            text = '\n'.join(pathlib.Path(file).read_text() for file in sources[test])
            for function in functions.split(', '):
                run = rf'\b\w*test\w*\(\s*{function.strip()}\s*[,)]'
                if not re.search(run, text, re.IGNORECASE):
                    fail(f'{names[0]}: {test} does not run {function.strip()}: correct the name')


def main():
    program, document, build = sys.argv[1:]
    written = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    rows = read_rows(pathlib.Path(document))
    compare(set(written.split()), rows)
    check_tests(rows, sources_of_tests(pathlib.Path(build)))
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
