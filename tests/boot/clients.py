# SPDX-License-Identifier: MIT
"""Writes docs/CLIENTS.md: what was run, and how it went."""
import shlex
import subprocess

HEAD = '''<!-- SPDX-License-Identifier: MIT -->
# Clients

What `tests/boot/run --full --write docs/CLIENTS.md` ran, unmodified, under `umbra run`, and how
it went: seconds with each MMU, and beside them those of QEMU's own processor (TCG) in the same
run, where the two do the same work. A table of what was seen on one machine; it promises nothing
about times elsewhere. What does not run is in [CAVEATS](CAVEATS.md).

'''


def versions(packages):
    shown = subprocess.run(['dpkg-query', '-W', '-f', '${Package} ${Version}\\n', *packages],
                           capture_output=True, text=True, check=False).stdout
    return [line for line in shown.splitlines() if not line.endswith(' ')]


def processor():
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        for line in file:
            if line.startswith('model name'):
                return line.split(':')[1].strip()
    return 'unknown'


class Report:
    def __init__(self, scratch):
        self.scratch = scratch
        self.rows = {}

    def add(self, name, host, result, seconds):
        row = self.rows.setdefault(name, {'commands': [], 'results': {}})
        row['results'][host.name] = f'{seconds:.0f} s' if result == 'PASS' else result.lower()
        if host.mmu and not row['commands']:
            row['commands'] = [program.command for program in host.programs]

    def write(self, path, packages):
        lines = [f'Host: {processor()}.', '', *(f'* {line}' for line in versions(packages)), '',
                 '| what | tdp | shadow | TCG |', '|---|---|---|---|']
        for name, row in self.rows.items():
            results = [row['results'].get(host, '') for host in ('tdp', 'shadow', 'TCG')]
            lines.append('| ' + ' | '.join([name, *results]) + ' |')
        lines += ['', '## Command lines', '', 'Files are in a temporary folder, `$DIR`; `umbra` is '
                  'that of the build.', '']
        for name, row in self.rows.items():
            lines += [f'{name}:', '']
            for command in row['commands']:
                shown = shlex.join(command).replace(self.scratch, '$DIR')
                lines.append('    ' + shown.replace(command[0], 'umbra', 1))
            lines.append('')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(HEAD + '\n'.join(lines).rstrip() + '\n')
