# SPDX-License-Identifier: MIT
"""gdb at QEMU's own stub stops a running kernel."""
from machine import ANYWHERE, must
import session


def gdb(host, images):
    address = host.scratch / 'gdb'
    machine = host.start(*images.linux(), '-gdb', f'unix:{address},server=on,wait=off', cpus=2)
    session.greet(machine)
    place = machine.ask("grep ' T ksys_sync$' /proc/kallsyms", '(ffffffff[0-9a-f]{8}) T').group(1)
    jiffies = machine.ask("grep ' D jiffies$' /proc/kallsyms", '(ffffffff[0-9a-f]{8}) D').group(1)
    debugger = host.program('gdb', '-q', '-nx', '-ex', 'set pagination off', '-ex',
                            'set architecture i386:x86-64', '-ex', f'target remote {address}',
                            '-ex', 'echo attached\\n')
    debugger.expect(ANYWHERE + r'attached')
    for kind in ('hbreak', 'break'):
        debugger.ask(f'{kind} *0x{place}', ANYWHERE + r'reakpoint \d+ at')
        debugger.say('continue\n')
        machine.say('sync; echo synced\n')
        debugger.expect(ANYWHERE + fr'reakpoint \d+, 0x{place}')
        debugger.ask('printf "at %lx\\n", $rip', ANYWHERE + fr'at {place}')
        # ENDBR64, or a NOP where a tracer may come; either is one step.
        debugger.say('stepi\n' * 20 + 'printf "now %lx\\n", $rip\n')
        must(debugger.expect(ANYWHERE + r'now ([0-9a-f]+)').group(1) != place, 'no step was made')
        debugger.ask('delete', ANYWHERE)
        debugger.say('echo deleted\\n\n')
        debugger.expect(ANYWHERE + r'deleted')
    debugger.ask(f'watch *(unsigned long *)0x{jiffies}', ANYWHERE + r'atchpoint')
    debugger.say('continue\n')
    debugger.expect(ANYWHERE + r'New value = ')
    debugger.say('detach\nquit\n')
    debugger.end()
    for _ in range(2):
        machine.expect('synced')
    session.farewell(machine)
