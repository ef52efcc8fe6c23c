# SPDX-License-Identifier: MIT
"""Debian itself: a root file system by mmdebstrap on a virtio disk, up to a login and beyond."""
import os
import subprocess

from machine import ANYWHERE, Failed

RELEASE = 'bookworm'
# Kept for the next run: it comes from the network, and takes minutes.
CACHE = os.path.expanduser('~/.cache/umbra/debian.ext4')
PACKAGES = 'systemd-sysv,udev,login,python3-minimal'
LEAN = [f'--dpkgopt=path-exclude=/usr/share/{part}/*' for part in ('man', 'doc', 'locale')]
# What a new system asks is answered; root has a password.
SETUP = ['--customize-hook=echo root:umbra | chroot "$1" chpasswd',
         '--customize-hook=echo guest >"$1/etc/hostname"',
         '--customize-hook=echo "/dev/vda / ext4 defaults 0 1" >"$1/etc/fstab"']
START = '''#!/bin/sh
mount -t ext4 /dev/vda /root
exec switch_root /root /sbin/init
'''


class Offline(Failed):
    """There is nowhere to get it from."""


def write_root(scratch, path):
    folder = scratch / 'root'
    made = subprocess.run(['mmdebstrap', '--quiet', '--variant=apt', f'--include={PACKAGES}', *LEAN,
                           *SETUP, RELEASE, folder], capture_output=True, text=True, check=False)
    if made.returncode:
        raise Offline(made.stderr.strip().splitlines()[-1])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    subprocess.run(['mkfs.ext4', '-q', '-d', folder, path + '.new', '1G'], check=True)
    os.rename(path + '.new', path)


def debian(host, images):
    if not os.path.exists(CACHE):
        write_root(host.scratch, CACHE)
    initramfs = images.initramfs('virtio_pci', 'virtio_blk', start=START)
    machine = host.start('-vga', 'none', '-serial', 'stdio', '-kernel', images.kernel, '-initrd',
                         initramfs, '-append', 'console=ttyS0 panic=-1', '-drive',
                         f'if=virtio,format=raw,snapshot=on,file={CACHE}', cpus=2, memory='512')
    machine.expect(ANYWHERE + 'guest login: ')
    machine.ask('root', ANYWHERE + 'Password: ')
    # The prompt is in the answer's way.
    machine.ask('umbra', ANYWHERE + '# ')
    machine.ask('stty -echo; PS1=; echo logged in', ANYWHERE + '\nlogged in')
    machine.ask('apt-get check && echo checked', ANYWHERE + 'checked')
    machine.ask('python3 -c "print(sum(n ** 2 for n in range(1000)), 2 ** 0.5)"',
                '332833500 1.4142135623730951')
    machine.ask('systemctl is-system-running --wait', 'running')
    machine.ask('systemctl poweroff', ANYWHERE + 'reboot: Power down')
    machine.end()
