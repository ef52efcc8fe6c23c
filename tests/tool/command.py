# SPDX-License-Identifier: MIT
"""What the tests of the command share: the command, and small programs for it to run."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

UMBRA = pathlib.Path(sys.argv.pop(1)).resolve()
BUILD = UMBRA.parent
COMMANDS = ('run', 'boot', 'demo', 'stress', 'check')


def umbra(*args, **kwargs):
    kwargs = {'capture_output': True, 'text': True, 'timeout': 300, 'check': False, **kwargs}
    return subprocess.run([str(UMBRA), *args], **kwargs)


def is_sanitized(*runtimes):
    """A sanitizer's runtime needs /proc, and must be the first of what is preloaded."""
    preload = umbra('run', '--', 'sh', '-c', 'echo $LD_PRELOAD').stdout
    return any(runtime in preload for runtime in runtimes or ('libasan', 'libtsan'))


class WithFolder(unittest.TestCase):
    """A folder for a test's files, and a compiler."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def compile(self, text, *flags, name='p'):
        source, program = self.path / f'{name}.c', self.path / name
        source.write_text(text)
        subprocess.run(['gcc', str(source), '-o', str(program), *flags], check=True)
        return str(program)

    def script(self, text, name='script'):
        path = self.path / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)


# A VM with one vCPU, and a call that is refused, each time it is asked.
CLIENT = '''
    #include <fcntl.h>
    #include <linux/kvm.h>
    #include <sys/ioctl.h>
    int main(void)
    {
        int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
        int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
        struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC };
        for (int i = 0; i < 3; i++) {
            ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM);
            ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_HLT);
            ioctl(kvm, KVM_CHECK_EXTENSION, 54321);
            ioctl(vm, KVM_CREATE_VCPU, 0);
            ioctl(vm, KVM_ENABLE_CAP, &cap);
            ioctl(vcpu, 0xae99, 0);
        }
        return vcpu < 0;
    }'''
