# SPDX-License-Identifier: MIT
"""What guests boot: Debian's kernel, and an initramfs made here of busybox and guest.c."""
import glob
import gzip
import os
import pathlib
import subprocess

BUSYBOX = '/bin/busybox'
SOURCE = pathlib.Path(__file__).resolve().parent / 'guest.c'

INIT = '''#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
for module in /modules/*; do [ -f $module ] && insmod $module; done
[ -x /start ] && exec /start
stty -F /dev/ttyS0 -echo
echo the shell is ready
exec setsid sh -c 'PS1= exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
'''


def newc(files):
    """A cpio archive, as the kernel takes it; a name that ends in / is a folder."""
    out = b''
    for number, (name, mode, data) in enumerate([*files, ('TRAILER!!!', 0, b'')], 1):
        kind = 0o040000 if name.endswith('/') else 0o100000 if mode else 0
        name = name.rstrip('/').encode() + b'\0'
        fields = [number, kind | mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        out += b'070701' + b''.join(b'%08x' % field for field in fields) + name
        out += b'\0' * (-len(out) % 4) + data
        out += b'\0' * (-len(out) % 4)
    return out


def find_kernel(chosen):
    found = [chosen] if chosen else (sorted(glob.glob('/boot/vmlinuz-*-cloud-amd64')) or
                                     sorted(glob.glob('/boot/vmlinuz-*')))
    return found[-1] if found and os.access(found[-1], os.R_OK) else None


def find_modules(kernel, names):
    """Files of the kernel's modules, each after those that it needs."""
    folder = pathlib.Path('/lib/modules') / pathlib.Path(kernel).name.removeprefix('vmlinuz-')
    needs = {}
    for line in (folder / 'modules.dep').read_text().splitlines():
        path, _, more = line.partition(':')
        needs[pathlib.Path(path).name.removesuffix('.ko')] = [path, *more.split()]
    order = []
    for name in names:
        # The last of them is needed first.
        order += [path for path in reversed(needs[name]) if path not in order]
    return [folder / path for path in order]


def write_initramfs(path, guest, modules, start):
    files = [('bin/', 0o755, b''), ('bin/busybox', 0o755, pathlib.Path(BUSYBOX).read_bytes()),
             ('bin/guest', 0o755, pathlib.Path(guest).read_bytes()),
             ('init', 0o755, INIT.encode()), ('modules/', 0o755, b'')]
    files += [(f'modules/{number:02}-{module.name}', 0o644, module.read_bytes())
              for number, module in enumerate(modules)]
    if start:
        files.append(('start', 0o755, start.encode()))
    path.write_bytes(gzip.compress(newc(files), 1))


class Images:
    """Made where they are first asked for."""

    def __init__(self, kernel, scratch):
        self.kernel = kernel
        self.scratch = pathlib.Path(scratch)

    def guest(self):
        """guest.c as a program that needs nothing."""
        path = self.scratch / 'guest'
        if not path.exists():
            subprocess.run(['gcc', '-O2', '-g', '-static', '-pthread', '-o', path, SOURCE, '-lm'],
                           check=True)
        return path

    def initramfs(self, *modules, start=''):
        """With modules of the kernel; `start` is a script that takes the shell's place."""
        path = self.scratch / '-'.join(['initramfs', *modules, *(['start'] if start else [])])
        if not path.exists():
            write_initramfs(path, self.guest(), find_modules(self.kernel, modules), start)
        return path

    def linux(self, *modules, append=''):
        """QEMU's options for a kernel that runs a shell on the serial line."""
        return ['-vga', 'none', '-serial', 'stdio', '-kernel', self.kernel,
                '-initrd', self.initramfs(*modules),
                '-append', f'console=ttyS0 panic=-1 {append}'.strip()]
