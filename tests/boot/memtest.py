# SPDX-License-Identifier: MIT
"""memtest86+ finds no error in memory that nobody touches, and finds one that is made."""
import mmap
import re

from machine import ANYWHERE, Failed

KERNEL = '/boot/memtest86+x64.bin'
SIZE = 16 << 20
# Beyond the program itself, within what it tests.
PLACE = 9 << 20


def start(host, *options):
    return host.start('-vga', 'std', '-serial', 'stdio', '-kernel', KERNEL,
                      '-append', 'console=ttyS0,115200', *options, memory='16')


def one_pass(host, images):
    del images
    machine = start(host)
    if machine.expect(ANYWHERE + '(Pass completed, no errors|Errors: *[1-9])').group(1)[0] == 'E':
        raise Failed('memtest86+ finds errors')
    machine.monitor('quit')
    machine.end()


def a_flipped_byte(host, images):
    """The memory is a file: we write where the guest does."""
    del images
    path = host.scratch / 'memory'
    path.write_bytes(bytes(SIZE))
    machine = start(host, '-object', f'memory-backend-file,id=m,size=16M,mem-path={path},share=on',
                    '-machine', 'memory-backend=m')
    machine.expect(ANYWHERE + 'Moving inversions')
    with path.open('r+b') as file, mmap.mmap(file.fileno(), SIZE) as memory:
        while not re.search('Errors: *[1-9]', machine.seen):
            memory[PLACE] ^= 1
            machine.read()
    machine.monitor('quit')
    machine.end()
