# SPDX-License-Identifier: MIT
"""A machine that starts again and again."""
import session

TIMES = 20


def again_and_again(host, images, how):
    machine = host.start(*images.linux(), cpus=2, memory='128', reboots=True)
    for _ in range(TIMES):
        machine.expect('the shell is ready')
        machine.ask(f'echo {how} >/sys/kernel/reboot/type; echo set', 'set')
        machine.say('reboot -f\n')
        machine.expect('.*reboot: machine restart')
    machine.expect('the shell is ready')
    session.farewell(machine)


def by_keyboard(host, images):
    again_and_again(host, images, 'kbd')


def by_triple_fault(host, images):
    again_and_again(host, images, 'triple')
