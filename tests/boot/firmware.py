# SPDX-License-Identifier: MIT
"""Firmware, alone and as what loads the kernel."""
import re
import shutil
import subprocess

from machine import ANYWHERE, must
import session

DEBUG = ['-debugcon', 'stdio', '-global', 'isa-debugcon.iobase=0x402']
OVMF = '/usr/share/OVMF/OVMF_CODE_4M.fd'
OVMF_VARIABLES = '/usr/share/OVMF/OVMF_VARS_4M.fd'
GRUB = '/usr/lib/grub-rescue/grub-rescue-usb.img'
IPXE = '/usr/lib/ipxe/qemu/pxe-e1000.rom'


def seabios(machine):
    machine.expect('SeaBIOS \\(version')
    machine.expect('No bootable device')
    machine.monitor('quit')
    machine.end()


def ovmf(host, images):
    """From flash: code that is read, variables that are written."""
    variables = host.scratch / 'variables.fd'
    shutil.copy(OVMF_VARIABLES, variables)
    machine = host.start(*images.linux(),
                         '-drive', f'if=pflash,unit=0,format=raw,readonly=on,file={OVMF}',
                         '-drive', f'if=pflash,unit=1,format=raw,file={variables}',
                         kind='q35', cpus=2)
    machine.expect(ANYWHERE + 'EFI v2')
    session.short(machine)


def folder_to_boot_from(host, images):
    """Kernel and initramfs, by these names."""
    folder = host.scratch / 'files'
    folder.mkdir(exist_ok=True)
    shutil.copy(images.kernel, folder / 'kernel')
    shutil.copy(images.initramfs(), folder / 'initramfs')
    return folder


def type_slowly(machine, line):
    """A BIOS keeps no more than 16 keys that nobody has asked for."""
    for key in line:
        machine.say(key)
        machine.expect(ANYWHERE + re.escape(key))
    machine.say('\r')


def grub(host, images):
    """GRUB from a disk: 16-bit code and the BIOS's calls, which read the kernel from another."""
    folder = folder_to_boot_from(host, images)
    files = host.scratch / 'files.ext4'
    files.unlink(missing_ok=True)
    subprocess.run(['mkfs.ext4', '-q', '-d', folder, files, '64M'], check=True)
    # graphics=off: the BIOS's screen and keyboard are the serial line.
    machine = host.start('-vga', 'none', '-serial', 'stdio',
                         '-drive', f'if=ide,format=raw,snapshot=on,file={GRUB}',
                         '-drive', f'if=virtio,format=raw,snapshot=on,file={files}',
                         '-boot', 'c', kind='pc,graphics=off', cpus=2)
    # Its menu counts down, but for a key: that of its command line.
    machine.expect(ANYWHERE + 'The highlighted entry will be executed')
    machine.say('c')
    for line in ('linux (hd1)/kernel console=ttyS0 panic=-1', 'initrd (hd1)/initramfs', 'boot'):
        machine.expect(ANYWHERE + 'grub> ')
        type_slowly(machine, line)
    session.short(machine)


def network(host, images):
    """iPXE, a ROM of the network card, asks for a script, which names a kernel."""
    folder = folder_to_boot_from(host, images)
    (folder / 'script').write_text('#!ipxe\nkernel kernel console=ttyS0 panic=-1 '
                                   'initrd=initramfs\ninitrd initramfs\nboot\n')
    machine = host.start('-vga', 'none', '-serial', 'stdio', '-netdev',
                         f'user,id=net,tftp={folder},bootfile=script', '-device',
                         f'e1000,netdev=net,romfile={IPXE}', '-boot', 'n', cpus=2)
    session.short(machine)


def vga(host, images):
    """A kernel with a VGA, whose text memory it writes to; QEMU draws what is in it."""
    options = images.linux()
    options[options.index('none')] = 'std'
    machine = host.start(*options, cpus=2)
    machine.expect('the shell is ready')
    machine.ask('for i in $(seq 200); do echo line $i; done >/dev/tty1; echo drawn', 'drawn')
    picture = host.scratch / 'picture.ppm'
    machine.monitor('screendump', filename=str(picture))
    pixels = picture.read_bytes()
    bright = len(pixels) - pixels.count(0)
    must(bright > 3000, f'{bright} bytes of {len(pixels)} in the picture are not black')
    session.farewell(machine)
