#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/tool/test_boot.py UMBRA - umbra boot: kernels of every kind, the disk, the terminal."""
import fcntl
import glob
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import termios
import unittest

from command import UMBRA, WithFolder, is_sanitized, umbra

KERNEL = pathlib.Path(__file__).parent / 'kernel.c'
# With no libraries, at 2 MiB, the code first.
LAYOUT = '''
    ENTRY(_start)
    PHDRS { all PT_LOAD FLAGS(7); note PT_NOTE FLAGS(4); }
    SECTIONS {
        . = 0x200000;
        .head : { *(.head) } :all
        .text : { *(.text*) } :all
        .rodata : { *(.rodata*) } :all
        .data : { *(.data*) } :all
        .note : { *(.note) } :all :note
        data_end = .;
        .bss : { *(.bss*) } :all
        bss_end = .;
        /DISCARD/ : { *(.eh_frame) *(.comment) *(.note.*) }
    }'''
FLAGS = ('-O1', '-ffreestanding', '-fno-pic', '-no-pie', '-static', '-nostdlib', '-mno-red-zone',
         '-mgeneral-regs-only', '-fno-stack-protector', '-fcf-protection=none', '-w',
         '-fno-asynchronous-unwind-tables', '-Wl,--build-id=none', '-Wl,-z,noexecstack',
         # Where Debian has <asm/...>, which -m32 does not look for.
         '-isystem', '/usr/include/x86_64-linux-gnu')
LINE = 'console=ttyS0 panic=-1'


class WithKernel(WithFolder):
    def kernel(self, *flags, name='kernel'):
        layout = self.path / 'layout.ld'
        layout.write_text(LAYOUT)
        return self.compile(KERNEL.read_text(), *FLAGS, f'-Wl,-T,{layout}', *flags, name=name)

    def file(self, name, data):
        path = self.path / name
        path.write_bytes(data)
        return str(path)

    def boot(self, *args, status=0, **kwargs):
        result = umbra('boot', *args, **{'stdin': subprocess.DEVNULL, **kwargs})
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result


class Kernels(WithKernel):
    def entered(self, kernel, *expected):
        """Each MMU; what the kernel finds, with a module that begins with a word."""
        module = self.file('module', b'a module\0' + bytes(5000))
        for mmu in ('tdp', 'shadow'):
            said = self.boot(f'--kernel={kernel}', f'--initrd={module}', f'--mmu={mmu}',
                             '--append=its own').stdout
            self.assertEqual(said.splitlines(), [*expected, f'line {LINE} its own', 'a module'])

    def test_multiboot(self):
        for addresses in ([], ['-DADDRESSES']):
            self.entered(self.kernel('-m32', '-DMULTIBOOT', *addresses), '32 bits', 'a 2badb002',
                         'b 4d')
        # By its addresses, it may be no ELF.
        flat = str(self.path / 'flat')
        elf = self.kernel('-m32', '-DMULTIBOOT', '-DADDRESSES')
        subprocess.run(['objcopy', '-O', 'binary', elf, flat], check=True)
        self.entered(flat, '32 bits', 'a 2badb002', 'b 4d')

    def test_pvh(self):
        self.entered(self.kernel('-m32', '-DPVH'), '32 bits', 'a 0', 'b 336ec578')

    def test_an_elf_file_gets_linuxs_page(self):
        self.entered(self.kernel('-m64'), '64 bits', 'a 0', 'setup 53726448')
        self.entered(self.kernel('-m32'), '32 bits', 'a 0', 'setup 53726448')


class Ends(WithKernel):
    def test_how_it_ends_is_the_exit_status(self):
        kernel = self.kernel('-m32', '-DMULTIBOOT')
        self.boot(f'--kernel={kernel}')
        for how, why in (('reset', 'the guest reset the machine'), ('fault', 'by a triple fault')):
            result = self.boot(f'--kernel={kernel}', f'--append={how}', '--cpus=3', status=1)
            self.assertIn(why, result.stderr)

    def test_output_that_cannot_be_written(self):
        with open('/dev/full', 'w') as full:
            result = umbra('boot', f'--kernel={self.kernel("-m32", "-DMULTIBOOT")}', stdout=full,
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, capture_output=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn('standard output: No space left', result.stderr)

    def test_a_signal_ends_it(self):
        kernel = self.kernel('-m32', '-DMULTIBOOT')
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with subprocess.Popen([str(UMBRA), 'boot', f'--kernel={kernel}', '--append=echo'],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                while b'ready' not in process.stdout.readline():
                    pass
                process.send_signal(number)
                self.assertEqual(process.wait(), 128 + number)

    def test_input_is_taken_as_the_guest_reads_it(self):
        text = ''.join(chr(97 + i % 26) for i in range(3000)) + '.'
        result = umbra('boot', f'--kernel={self.kernel("-m32", "-DMULTIBOOT")}', '--append=echo',
                       input=text)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.split('ready\n')[1], text)

    def test_statistics(self):
        result = self.boot(f'--kernel={self.kernel("-m32", "-DMULTIBOOT")}', '--stats')
        self.assertIn('"vcpus":1', result.stderr.replace(' ', ''))


class Disk(WithKernel):
    def test_what_is_read_and_written(self):
        disk = self.file('disk', bytes(512) + b'the first sector' + bytes(512 * 3 - 16))
        said = self.boot(f'--kernel={self.kernel("-m32", "-DMULTIBOOT")}', '--append=disk',
                         f'--disk={disk}').stdout.splitlines()
        self.assertEqual(said[5:], [
            'magic 74726976', 'sectors 4', 'status 0', 'the first sector', 'status 0', 'status 0',
            'status 0', 'umbra', 'status 1', 'status 1', 'status 1', 'status 2'])
        self.assertEqual(pathlib.Path(disk).read_bytes()[1024:1536], bytes(range(256)) * 2)

    def test_a_driver_that_is_wrong_must_reset_it(self):
        disk = self.file('disk', bytes(2048))
        said = self.boot(f'--kernel={self.kernel("-m32", "-DMULTIBOOT")}', '--append=loop',
                         f'--disk={disk}').stdout
        self.assertRegex(said, '(?s)it needs a reset.*again.*status 0')

    def test_it_is_used_once_at_a_time(self):
        disk = self.file('disk', bytes(2048))
        with open(disk) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            result = self.boot(f'--kernel={self.kernel("-m32", "-DMULTIBOOT")}', f'--disk={disk}',
                               status=1)
        self.assertIn('it is in use already', result.stderr)


class Refusals(WithKernel):
    def refused(self, why, *args, status=1):
        result = self.boot(*args, status=status)
        self.assertRegex(result.stderr, rf'\Aumbra: [^\n]*{why}[^\n]*\n\Z')
        self.assertEqual(result.stdout, '')

    def test_what_is_no_kernel(self):
        good = pathlib.Path(self.kernel('-m64')).read_bytes()
        for why, data in (('empty', b''), ('neither a bzImage', b'hello'),
                          ('ends too early', good[:80]), ('ends too early', good[:0x1080])):
            self.refused(why, f'--kernel={self.file("bad", data)}')
        self.refused('No such file', f'--kernel={self.path}/none')
        self.refused('Is a directory', f'--kernel={self.path}')
        self.refused('no file', '--kernel=/dev/null')
        arm = bytearray(good)
        arm[18] = 183
        self.refused('another processor', f'--kernel={self.file("arm", bytes(arm))}')

    def test_an_elf_file_that_wants_what_is_not_there(self):
        good = pathlib.Path(self.kernel('-m64')).read_bytes()
        segment = 64    # its first program header
        for offset, value in ((24, 0x10000), (24, 1 << 33), (24, (1 << 64) - 4096),
                              (40, 1 << 40), (40, 1)):
            bad = bytearray(good)
            bad[segment + offset:segment + offset + 8] = struct.pack('<Q', value)
            self.refused('wants memory|longer in the file',
                         f'--kernel={self.file("b", bytes(bad))}')

    def test_multiboot_headers_that_are_impossible(self):
        for flags, load_gpa, load_end in ((0x10008, 0, 0), (0x10003, 0x300000, 0),
                                          (0x10003, 0x1000, 0), (0x10003, 0x100000, 0x80000)):
            header = struct.pack('<8I', 0x1badb002, flags, -(0x1badb002 + flags) & 0xffffffff,
                                 load_gpa if load_gpa != 0x300000 else 0x100000, load_gpa, load_end,
                                 0, 0x100000)
            self.refused('Multiboot header|wants memory', f'--kernel={self.file("m", header)}')
        header = struct.pack('<3I', 0x1badb002, 0, -0x1badb002 & 0xffffffff)
        self.refused('gives no addresses', f'--kernel={self.file("m", header)}')

    def test_a_bzimage_that_is_damaged(self):
        image = bytearray(4096)
        image[0x1f1] = 1
        image[0x1fe:0x200] = b'\x55\xaa'
        image[0x201:0x206] = b'\x6aHdrS'
        self.refused('older than', f'--kernel={self.file("old", bytes(image))}')
        image[0x206:0x208] = struct.pack('<H', 0x20f)
        image[0x211] = 1
        image[0x238:0x23c] = struct.pack('<I', 2047)
        image[0x258:0x264] = struct.pack('<QI', 1 << 40, 1 << 20)
        self.refused('too little memory', f'--kernel={self.file("far", bytes(image))}')
        self.refused('command line is too long', f'--kernel={self.file("far", bytes(image))}',
                     f'--append={"x" * 3000}')
        self.refused('too early', f'--kernel={self.file("short", bytes(image[:1024]))}')

    def test_options(self):
        kernel = self.kernel('-m32', '-DMULTIBOOT')
        for option in ('--cpus=0', '--cpus=255', '--memory=15', '--memory=x', '--mmu=flat'):
            self.refused('is needed|the choices are', f'--kernel={kernel}', option, status=2)
        self.refused('No such file', f'--kernel={kernel}', f'--initrd={self.path}/none')
        self.refused('No such file', f'--kernel={kernel}', f'--disk={self.path}/none')
        self.refused('whole sectors', f'--kernel={kernel}', f'--disk={self.file("d", b"x" * 700)}')
        self.refused('does not fit', f'--kernel={kernel}', '--memory=16',
                     f'--initrd={self.file("i", bytes(20 << 20))}')


def pseudo_terminals():
    """Whether the system has any: a chroot without devpts has not."""
    try:
        for end in pty.openpty():
            os.close(end)
    except OSError:
        return False
    return True


needs_a_terminal = unittest.skipUnless(pseudo_terminals(), 'needs pseudo-terminals (devpts)')


class Terminal:
    """umbra boot on a terminal of its own."""

    def __init__(self, *args):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([str(UMBRA), 'boot', *args], stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True)
        self.seen = b''

    def expect(self, text, seconds=300):
        while text not in self.seen:
            if not select.select([self.master], [], [], seconds)[0]:
                raise AssertionError(f'no {text!r} in {self.seen[-2000:]!r}')
            self.seen += os.read(self.master, 65536)
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def type(self, text):
        os.write(self.master, text)

    def end(self):
        """The exit status, and whether the terminal is as it was."""
        status = self.process.wait(timeout=60)
        same = termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return status, same


@needs_a_terminal
class OnATerminal(WithKernel):
    def start(self):
        t = Terminal(f'--kernel={self.kernel("-m32", "-DMULTIBOOT")}', '--append=echo')
        t.expect(b'ready')
        self.assertFalse(termios.tcgetattr(t.slave)[3] & termios.ICANON)
        return t

    def test_keys_are_the_guests_but_for_one(self):
        t = self.start()
        t.type(b'\x03\x01\x01\x01y.')
        t.expect(b'\x03\x01y.')
        self.assertEqual(t.end(), (0, True))

    def test_the_escape_key_ends_it(self):
        t = self.start()
        t.type(b'a\x01x')
        self.assertEqual(t.end(), (0, True))

    def test_the_terminal_is_set_back_on_every_way_out(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            t = self.start()
            t.process.send_signal(number)
            self.assertEqual(t.end(), (128 + number, True))
        # And if the part that runs the guest dies.
        t = self.start()
        children = pathlib.Path(f'/proc/{t.process.pid}/task/{t.process.pid}/children').read_text()
        os.kill(int(children.split()[0]), signal.SIGKILL)
        self.assertEqual(t.end(), (-signal.SIGKILL, True))


LACKS = [what for what, found in (
    ('a kernel in /boot (package linux-image-cloud-amd64)',
     any(os.access(k, os.R_OK) for k in glob.glob('/boot/vmlinuz-*'))),
    ('/bin/busybox (package busybox-static)', os.path.exists('/bin/busybox'))) if not found]


@needs_a_terminal
class Linux(unittest.TestCase):
    @unittest.skipIf(LACKS, 'needs ' + ', '.join(LACKS))
    def test_the_installed_kernel_boots_to_a_shell(self):
        if is_sanitized():
            self.skipTest('a boot takes minutes with a sanitizer; tests/boot has one')
        t = Terminal('--cpus=2')
        t.expect(b'on 2 CPUs')
        t.expect(b'# ')
        t.type(b'echo $((6 * 7)) and $(nproc); dmesg | grep -c -e Oops -e BUG:\r')
        t.expect(b'42 and 2')
        t.expect(b'\n0\r')
        t.type(b'exit\r')
        t.expect(b'reboot: Power down')
        self.assertEqual(t.end(), (0, True))


if __name__ == '__main__':
    unittest.main(verbosity=2)
