# SPDX-License-Identifier: MIT
"""QEMU as a test runs it: its command line, its console, its monitor (QMP)."""
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import time

QEMU = 'qemu-system-x86_64'
# What a text begins with that stands anywhere: after a prompt, or where a cursor was put.
ANYWHERE = r'[\s\S]*'


class Failed(Exception):
    pass


def must(right, what):
    if not right:
        raise Failed(what)


class Program:
    """A program whose input and output are our end of a terminal."""

    def __init__(self, command, deadline):
        self.command = command
        self.deadline = deadline
        self.seen = ''
        self.all = ''
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)

    def left(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Failed('no answer in time')
        return left

    def read(self):
        if not select.select([self.process.stdout], [], [], self.left())[0]:
            raise Failed('no answer in time')
        data = os.read(self.process.stdout.fileno(), 65536)
        text = data.decode(errors='replace').replace('\r', '')
        # The shell's line editor asks the terminal where its cursor is.
        self.seen = (self.seen + text).replace('\x1b[6n', '')
        self.all += text
        return bool(data)

    def expect(self, text):
        """Waits for a text that begins a line; forgets all before its end."""
        pattern = re.compile('^' + text, re.M)
        while not (found := pattern.search(self.seen)):
            if not self.read():
                raise Failed(f'it ended before {text!r}')
        self.seen = self.seen[found.end():]
        return found

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def ask(self, question, answer):
        self.say(question + '\n')
        return self.expect(answer)

    def end(self):
        while self.read():
            pass
        if self.process.wait():
            raise Failed(f'exit status {self.process.returncode}')

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Machine(Program):
    """A QEMU; its serial line, or the log of its firmware, is our terminal."""

    def __init__(self, command, deadline, monitor):
        super().__init__(command, deadline)
        self.path = monitor
        self.socket = None
        self.rest = b''
        self.events = []

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(self.path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None:
                    self.end()
                    raise Failed('it ended') from None
                self.left()
                time.sleep(0.05)
        self.message()
        self.monitor('qmp_capabilities')

    def message(self):
        """The monitor's next line.  The console is read meanwhile: a full pipe stops QEMU."""
        while b'\n' not in self.rest:
            ready = select.select([self.socket, self.process.stdout], [], [], self.left())[0]
            if self.process.stdout in ready and not self.read() and self.socket not in ready:
                raise Failed('it ended')
            if self.socket in ready:
                data = self.socket.recv(65536)
                if not data:
                    raise Failed('it left the monitor')
                self.rest += data
        line, self.rest = self.rest.split(b'\n', 1)
        return json.loads(line)

    def monitor(self, name, **arguments):
        """The result of one of the monitor's commands."""
        if not self.socket:
            self.connect()
        self.socket.sendall(json.dumps({'execute': name, 'arguments': arguments}).encode())
        while True:
            answer = self.message()
            if 'event' in answer:
                self.events.append(answer['event'])
            elif 'error' in answer:
                raise Failed(f'{name}: {answer["error"]["desc"]}')
            else:
                return answer['return']

    def human(self, line):
        """One of the monitor's commands for people; what it answers is an error."""
        answer = self.monitor('human-monitor-command', **{'command-line': line})
        if answer.strip():
            raise Failed(f'{line}: {answer.strip()}')

    def wait_until(self, question, happened):
        """Asks the monitor until its answer is as wanted."""
        while not happened(answer := self.monitor(question)):
            self.left()
            time.sleep(0.1)
        return answer

    def kill(self):
        super().kill()
        if self.socket:
            self.socket.close()


class Host:
    """Whoever runs the guests: Umbra with one of its MMUs, or QEMU's own processor (TCG)."""

    def __init__(self, umbra, mmu, scratch, timeout):
        self.mmu = mmu
        self.name = mmu or 'TCG'
        self.scratch = pathlib.Path(scratch)
        self.prefix = [umbra, 'run', f'--mmu={mmu}', '--'] if mmu else []
        self.deadline = time.monotonic() + timeout
        self.programs = []

    def start(self, *options, kind='pc', chip='on', cpus=1, memory='256', cpu='qemu64',
              accelerator='', reboots=False):
        accelerator = f'kvm,kernel-irqchip={chip}{accelerator}' if self.mmu else 'tcg'
        monitor = str(self.scratch / f'monitor-{len(self.programs)}')
        pathlib.Path(monitor).unlink(missing_ok=True)
        command = [*self.prefix, QEMU, '-accel', accelerator, '-M', kind, '-cpu', cpu,
                   '-m', memory, '-smp', str(cpus), '-nodefaults', '-display', 'none',
                   *([] if reboots else ['-no-reboot']),
                   '-qmp', f'unix:{monitor},server=on,wait=off', *map(str, options)]
        return self.keep(Machine(command, self.deadline, monitor))

    def program(self, *command):
        return self.keep(Program([str(word) for word in command], self.deadline))

    def keep(self, program):
        self.programs.append(program)
        return program

    def close(self):
        for program in self.programs:
            program.kill()
