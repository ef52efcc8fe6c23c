# SPDX-License-Identifier: MIT
"""A running guest is saved, loaded, and moved from one QEMU to another; its memory stays right."""
import subprocess

from machine import Failed
import session

QUICK = 'cryptomgr.notests'
RING = ',dirty-ring-size=4096'


def start_work(machine):
    """A program that changes memory all the time, and checks it."""
    machine.expect('the shell is ready')
    machine.ask('guest churn & work=$!', 'churn: going')


def end_work(machine):
    machine.ask('kill $work; wait', 'churn: all is right after some rounds')
    session.sum_of_busybox(machine)
    session.farewell(machine)


def move(host, images, accelerator, postcopy):
    """Over a Unix socket, while it runs."""
    options = [*images.linux(append=QUICK)]
    source = host.start(*options, cpus=2, memory='128', accelerator=accelerator)
    start_work(source)
    address = f'unix:{host.scratch / "migration"}'
    target = host.start(*options, '-incoming', 'defer', cpus=2, memory='128',
                        accelerator=accelerator)
    if postcopy:
        for machine in (source, target):
            machine.monitor('migrate-set-capabilities',
                            capabilities=[{'capability': 'postcopy-ram', 'state': True}])
        # So slow that most of the memory follows the guest.
        source.monitor('migrate-set-parameters', **{'max-bandwidth': 4 << 20})
    target.monitor('migrate-incoming', uri=address)
    source.monitor('migrate', uri=address)
    if postcopy:
        source.wait_until('query-migrate', lambda answer: answer.get('status') == 'active' and
                          answer['ram']['transferred'] > 8 << 20)
        source.monitor('migrate-start-postcopy')
        source.monitor('migrate-set-parameters', **{'max-postcopy-bandwidth': 0})
    answer = source.wait_until('query-migrate',
                               lambda answer: answer.get('status') in ('completed', 'failed'))
    if answer['status'] == 'failed':
        raise Failed('the migration failed: ' + answer.get('error-desc', ''))
    source.monitor('quit')
    source.end()
    target.wait_until('query-status', lambda answer: answer['status'] == 'running')
    end_work(target)


def by_bitmap(host, images):
    move(host, images, '', False)


def by_ring(host, images):
    move(host, images, RING, False)


def postcopy_by_bitmap(host, images):
    move(host, images, '', True)


def postcopy_by_ring(host, images):
    move(host, images, RING, True)


def snapshot(host, images):
    """Saved while it runs, it is set back, and continued by another QEMU."""
    disk = host.scratch / 'disk.qcow2'
    disk.unlink(missing_ok=True)
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', disk, '64M'], check=True)
    options = [*images.linux(append=QUICK), '-drive', f'if=virtio,format=qcow2,file={disk}']
    machine = host.start(*options, cpus=2, memory='128')
    start_work(machine)
    machine.ask('echo before >/tmp/when; echo written', 'written')
    machine.human('savevm here')
    machine.ask('echo after >/tmp/when; cat /tmp/when', 'after')
    machine.human('loadvm here')
    machine.ask('cat /tmp/when', 'before')
    machine.monitor('quit')
    machine.end()
    machine = host.start(*options, '-loadvm', 'here', cpus=2, memory='128')
    machine.ask('cat /tmp/when', 'before')
    end_work(machine)
