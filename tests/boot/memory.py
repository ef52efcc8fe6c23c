# SPDX-License-Identifier: MIT
"""Memory that a guest gives back, takes again, and gets at run time."""
import hashlib

from machine import must
import session


def free(machine):
    """MiB."""
    found = machine.ask('grep MemFree /proc/meminfo', r'MemFree: *(\d+) kB')
    return int(found.group(1)) >> 10


def fill(machine, size):
    """A file in memory, of so many MiB."""
    machine.ask(f'mount -t tmpfs -o size={size + 1}m none /tmp; '
                f'dd if=/dev/zero of=/tmp/large bs=1M count={size} 2>/dev/null; '
                'md5sum /tmp/large; umount /tmp', hashlib.md5(bytes(size << 20)).hexdigest())


def balloon(host, images):
    machine = host.start(*images.linux('virtio_pci', 'virtio_balloon'), '-device',
                         'virtio-balloon-pci', cpus=2)
    session.greet(machine)
    for _ in range(2):
        machine.monitor('balloon', value=128 << 20)
        machine.wait_until('query-balloon', lambda answer: answer['actual'] == 128 << 20)
        session.sum_of_busybox(machine)
        machine.monitor('balloon', value=256 << 20)
        machine.wait_until('query-balloon', lambda answer: answer['actual'] == 256 << 20)
        fill(machine, 140)
    session.farewell(machine)


def hot_plug(host, images):
    machine = host.start(*images.linux(), memory='256,slots=2,maxmem=1G', cpus=2)
    session.greet(machine)
    before = free(machine)
    machine.monitor('object-add', **{'qom-type': 'memory-backend-ram', 'id': 'more',
                                     'size': 256 << 20})
    machine.monitor('device_add', driver='pc-dimm', id='dimm', memdev='more')
    machine.ask('until grep -q offline /sys/devices/system/memory/memory*/state; do sleep 1; done; '
                'for f in /sys/devices/system/memory/memory*/state; do '
                'grep -q offline $f && echo online >$f; done; echo online', 'online')
    must(free(machine) > before + 200, 'there is no more memory than before')
    fill(machine, 300)
    session.farewell(machine)
