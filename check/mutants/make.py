#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bugs of the past as patches: what the build makes of check/mutants/*.patch.

    make.py table PATCH... OUT       their heads, for check/command/mutants.c
    make.py build ROOT PATCH OUT.so [SOURCE...] -- COMPILER...

A patch has a head of fields, each with its continuation indented:

    From: where the bug was (none: the absence of the rule that the patch is named after)
    Sentence: what is wrong (of a rule: rules.def says it)
    Scenarios: those that find it, best first
    Survives: why none does

and then a unified diff against the root of the project.  What is built is a shared
object with the patched files, and with each of SOURCE that includes a patched header.
"""
import pathlib
import re
import shutil
import subprocess
import sys

FIELDS = ('From', 'Sentence', 'Scenarios', 'Survives')


def refuse(patch, why):
    sys.exit(f'check/mutants/{patch.name}: {why}')


def read_head(patch):
    head, _, _ = patch.read_text().partition('\n--- ')
    fields, last = {}, None
    for line in filter(str.strip, head.split('\n')):
        name, colon, value = line.partition(':')
        if line[0].isspace() and last:
            fields[last] += ' ' + line.strip()
        elif colon and name in FIELDS and name not in fields:
            last = name
            fields[name] = value.strip()
        else:
            refuse(patch, f'not a line of a head: {line}')
    if ('Scenarios' in fields) == ('Survives' in fields):
        refuse(patch, 'either scenarios find it, or there is a reason why it survives')
    if ('From' in fields) != ('Sentence' in fields):
        refuse(patch, 'a bug has both From and Sentence, the absence of a rule neither')
    return fields


def quoted(text):
    if text is None:
        return 'NULL'
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


def make_table(patches, out):
    lines = []
    for patch in map(pathlib.Path, patches):
        head = read_head(patch)
        lines.append(f'PATCH({patch.stem}, '
                     f'{", ".join(quoted(head.get(field)) for field in FIELDS)})\n')
    pathlib.Path(out).write_text(''.join(lines))


def apply(root, patch, folder):
    """Copies of the patched files; their names."""
    names = re.findall(r'^\+\+\+ b/(\S+)', patch.read_text(), re.M)
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not (root / name).exists():
            refuse(patch, f'there is no {name}')
        shutil.copy(root / name, folder / name)
    done = subprocess.run(['patch', '-p1', '--fuzz=0', '--batch', '--directory', folder,
                           '--input', patch.resolve()],
                          capture_output=True, text=True, check=False)
    if done.returncode or not names:
        refuse(patch, f'does not apply any more\n{done.stdout}')
    return names


class Includes:
    """Which files a file includes, directly or not."""

    def __init__(self, root):
        self.root, self.known = root, {}

    def of(self, name):
        if name not in self.known:
            self.known[name] = set()
            text = (self.root / name).read_text()
            for include in re.findall(r'^#include "(\S+)"', text, re.M):
                for where in (f'check/shim/{include}', f'src/{include}', include):
                    if (self.root / where).exists():
                        self.known[name] |= {where} | self.of(where)
                        break
        return self.known[name]


def compile_one(command, root, folder, name, number):
    source = folder / name if (folder / name).exists() else root / name
    o = folder / f'{number}.o'
    subprocess.run([*command, f'-I{folder}/src', f'-I{root}/check/shim', f'-I{root}/src',
                    f'-I{root}', '-MD', '-c', source, '-o', o], check=True)
    return o


def build(root, patch, out, sources, command):
    read_head(patch)
    folder = out.with_suffix('.p')
    patched = apply(root, patch, folder)
    wanted = {name for name in patched if name.endswith('.c')}
    headers = {name for name in patched if name.endswith('.h')}
    includes = Includes(root)
    if headers:
        wanted |= {name for name in sources if includes.of(name) & headers}
    (folder / 'name.c').write_text(f'const char patched_as[] = "{patch.stem}";\n')
    objects = [compile_one(command, root, folder, name, number)
               for number, name in enumerate(sorted(wanted) + ['name.c'])]
    subprocess.run([*command, '-shared', '-s', '-o', out, *objects], check=True)
    read = ' '.join(o.with_suffix('.d').read_text().partition(':')[2].replace('\\\n', ' ')
                    for o in objects).split()
    read = {path for path in read if not path.startswith(str(folder))}
    read |= {str(root / name) for name in (patched + (sources if headers else []))}
    out.with_suffix('.d').write_text(f'{out}: {" ".join(sorted(read))}\n')


def main():
    what, *args = sys.argv[1:]
    if what == 'table':
        make_table(args[:-1], args[-1])
    elif what == 'build':
        args, command = args[:args.index('--')], args[args.index('--') + 1:]
        root, patch, out = map(pathlib.Path, args[:3])
        sources = [str(pathlib.Path(p).resolve().relative_to(root.resolve())) for p in args[3:]]
        build(root.resolve(), patch, out, sources, command)
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main()
