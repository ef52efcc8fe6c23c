# SPDX-License-Identifier: MIT
"""A shell in the guest, which computes, forks, maps and switches off."""
import hashlib
import pathlib
import re
import subprocess

import image


def greet(machine):
    machine.expect('the shell is ready')
    machine.ask('echo the sum is $((6 * 7))', 'the sum is 42')


def farewell(machine):
    """Whoever has complaints says so now."""
    machine.ask('dmesg | grep -c -e "WARNING:" -e "BUG:" -e "unchecked MSR"; echo no more',
                '0\nno more')
    machine.ask('poweroff -f', '.*reboot: Power down')
    machine.end()


def sum_of_busybox(machine):
    digest = hashlib.sha256(pathlib.Path(image.BUSYBOX).read_bytes()).hexdigest()
    machine.ask('sha256sum /bin/busybox', digest)


def short(machine, images=None):
    del images
    greet(machine)
    sum_of_busybox(machine)
    machine.ask('i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i + 1)); done; echo $i forks',
                '100 forks')
    machine.ask('dd if=/dev/zero of=/tmp/zeroes bs=1M count=8 2>/dev/null; wc -c /tmp/zeroes',
                '8388608 /tmp/zeroes')
    farewell(machine)


def mounts(machine):
    machine.ask('mkdir /tmp/a /tmp/b; mount -t tmpfs -o size=1m none /tmp/a; '
                'mount --bind /tmp/a /tmp/b; echo kept >/tmp/b/file; cat /tmp/a/file', 'kept')
    machine.ask('dd if=/dev/zero of=/tmp/a/large bs=1M count=2 2>&1 | grep -o "No space"',
                'No space')
    machine.ask('umount /tmp/b; umount /tmp/a; ls /tmp/a /tmp/b | wc -l; echo all gone',
                '.*\n*all gone')


def forks(machine):
    """All at once: each computes and leaves its number."""
    machine.ask('mkdir /tmp/f; for i in $(seq 200); do '
                '(echo $((i * i)) >/tmp/f/$i) & done; wait; '
                'cat /tmp/f/* | awk \'{ s += $1 } END { print "squares: " s }\'',
                'squares: 2686700')


def same_as_here(machine, guest):
    """What the guest's CPU computes is what the host's does."""
    for name in ('long-double', 'sse', 'avx'):
        here = subprocess.run([guest, name], capture_output=True, text=True, check=True).stdout
        machine.ask(f'guest {name}', f'({re.escape(here)}|avx: absent\n)')


def long(machine, images):
    greet(machine)
    mounts(machine)
    forks(machine)
    sum_of_busybox(machine)
    machine.ask('guest threads', 'threads: .* are right')
    same_as_here(machine, images.guest())
    farewell(machine)
