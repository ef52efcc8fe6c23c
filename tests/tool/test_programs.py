#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/tool/test_programs.py UMBRA - umbra run: programs, and whether the library is in."""
import os
import pathlib
import shutil
import subprocess
import unittest

from command import BUILD, CLIENT, UMBRA, WithFolder, is_sanitized, umbra


class Programs(WithFolder):
    def test_the_exit_status_is_the_programs(self):
        self.assertEqual(umbra('run', '--', 'sh', '-c', 'exit 37').returncode, 37)
        self.assertEqual(umbra('run', 'true').returncode, 0)
        self.assertLess(umbra('run', '--', 'sh', '-c', 'kill -9 $$').returncode, 0)

    def test_what_cannot_be_run_is_refused_first(self):
        static = self.compile('int main(void) { return 0; }', '-static')
        self.assertIn('statically linked', umbra('run', '--', static).stderr)
        other = self.path / 'arm'
        header = bytearray(pathlib.Path(static).read_bytes()[:64])
        header[18] = 183  # EM_AARCH64
        other.write_bytes(header)
        other.chmod(0o755)
        self.assertIn('another architecture', umbra('run', '--', str(other)).stderr)
        text = self.path / 'text'
        text.write_text('hello')
        self.assertEqual(umbra('run', '--', str(text)).returncode, 126)
        junk = self.path / 'junk'
        junk.write_bytes(b'\0\1\2\n')
        junk.chmod(0o755)
        self.assertEqual(umbra('run', '--', str(junk)).returncode, 126)
        script = self.path / 'script'
        script.write_text(f'#!{static}\n')
        script.chmod(0o755)
        self.assertIn('statically linked', umbra('run', '--', str(script)).stderr)
        self.assertEqual(umbra('run', '--', str(self.path / 'none')).returncode, 127)
        self.assertEqual(umbra('run', '--', 'no-such-program-anywhere').returncode, 127)

    def test_programs_see_the_device(self):
        program = self.compile('''
            #include <fcntl.h>
            #include <stdio.h>
            #include <sys/ioctl.h>
            #include <linux/kvm.h>
            #include <unistd.h>
            int main(void) {
                int fd = open("/dev/kvm", O_RDWR), copy = dup(fd);
                printf("%d %d %d", access("/dev/kvm", R_OK | W_OK),
                       ioctl(fd, KVM_GET_API_VERSION, 0), ioctl(copy, KVM_GET_API_VERSION, 0));
                close(copy);
                printf(" %d", ioctl(copy, KVM_GET_API_VERSION, 0));
                dup2(0, fd);
                printf(" %d", ioctl(fd, KVM_GET_API_VERSION, 0));
                return 0;
            }''')
        result = umbra('run', '--', program)
        self.assertEqual(result.stdout, '0 12 12 -1 -1', result.stderr)

    def test_the_programs_own_fault_handler_is_called(self):
        program = self.compile('''
            #include <fcntl.h>
            #include <signal.h>
            #include <stdlib.h>
            #include <sys/ioctl.h>
            #include <linux/kvm.h>
            static void on_fault(int sig) { _Exit(sig == SIGSEGV ? 5 : 6); }
            int main(int argc, char **argv) {
                if (argc > 1) signal(SIGSEGV, on_fault);
                ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0);
                struct sigaction action = { .sa_handler = on_fault };
                if (argc == 1) sigaction(SIGSEGV, &action, 0);
                *(volatile int *)8 = 1;
                return 0;
            }''', '-w')
        self.assertEqual(umbra('run', '--', program, 'before').returncode, 5)
        # ThreadSanitizer's runtime has its own sigaction() in front of ours.
        if not is_sanitized('libtsan'):
            self.assertEqual(umbra('run', '--', program).returncode, 5)

    def test_a_script_that_does_not_say_whose_it_is_is_the_shells(self):
        script = self.script('echo "$0 $1"\nexit 9\n')
        result = umbra('run', '--', script, 'one')
        self.assertEqual((result.returncode, result.stdout), (9, f'{script} one\n'))


class Presence(WithFolder):
    """Is the library in the program?  Whoever believes so and errs must be told."""

    def test_a_program_has_nothing_left_of_the_report(self):
        program = self.compile('''
            #include <fcntl.h>
            #include <stdlib.h>
            #include <sys/wait.h>
            #include <unistd.h>
            int main(void) {
                for (int fd = 3; fd < 1024; fd++) if (fcntl(fd, F_GETFD) >= 0) return 1;
                return getenv("UMBRA_REPORT") ? 2 : wait(NULL) == -1 ? 0 : 3;
            }''')
        result = umbra('run', '--', program)
        self.assertEqual((result.returncode, result.stderr), (0, ''))

    def test_a_program_of_another_c_library_is_refused(self):
        loader = self.path / 'ld-musl-x86_64.so.1'
        loader.symlink_to('/lib64/ld-linux-x86-64.so.2')
        program = self.compile('int main(void) { return 0; }', f'-Wl,--dynamic-linker={loader}')
        result = umbra('run', '--', program)
        self.assertEqual(result.returncode, 126)
        self.assertIn('another C library', result.stderr)

    def test_children_that_cannot_have_the_library_are_named(self):
        static = self.compile('int main(void) { return 0; }', '-static', name='static')
        dynamic = self.compile('int main(void) { return 0; }', name='dynamic')
        for command, words in ((['sh', '-c', f'{static}; true'], 'static: without Umbra'),
                               (['sh', '-c', f'env -i {dynamic}; true'], 'LD_PRELOAD is not in'),
                               (['env', '-u', 'LD_PRELOAD', dynamic], 'LD_PRELOAD is not in'),
                               (['env', static], 'statically linked')):
            result = umbra('run', '--', *command)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stderr.count('\n'), 1, result.stderr)
            self.assertIn(words, result.stderr)
        result = umbra('run', '--', 'sh', '-c', f'{dynamic}; env {dynamic}; env X=1 sh -c true')
        self.assertEqual(result.stderr, '')

    def test_every_call_that_starts_a_program_is_watched(self):
        static = self.compile('int main(void) { return 0; }', '-static', name='static')
        program = self.compile('''
            #include <fcntl.h>
            #include <spawn.h>
            #include <stdlib.h>
            #include <sys/wait.h>
            #include <unistd.h>
            int main(int argc, char **argv) {
                char *args[] = { argv[2], "two", 0 }, *path = argv[2];
                pid_t pid;
                switch (atoi(argv[1])) {
                case 0: execv(path, args); break;
                case 1: execve(path, args, environ); break;
                case 2: execvp("static", args); break;
                case 3: execvpe("static", args, environ); break;
                case 4: execl(path, path, "two", (char *)0); break;
                case 5: execlp("static", path, "two", (char *)0); break;
                case 6: execle(path, path, "two", (char *)0, environ); break;
                case 7: fexecve(open(path, O_RDONLY), args, environ); break;
                case 8: execveat(AT_FDCWD, path, args, environ, 0); break;
                case 9: posix_spawn(&pid, path, 0, 0, args, environ); wait(0); break;
                case 10: posix_spawnp(&pid, "static", 0, 0, args, environ); wait(0); break;
                case 11: if (!vfork()) execv(path, args); wait(0); break;
                }
                return 0;
            }''', '-D_GNU_SOURCE')
        environment = {**os.environ, 'PATH': f'{self.path}:{os.environ["PATH"]}'}
        for way in range(12):
            result = umbra('run', '--', program, str(way), static, env=environment)
            self.assertEqual(result.returncode, 0, way)
            self.assertRegex(result.stderr, r'^umbra: \S*(static|fd/\d+): without Umbra.*\n$', way)

    def test_the_arguments_of_a_list_arrive(self):
        program = self.compile('''
            #include <string.h>
            #include <unistd.h>
            int main(int argc, char **argv) {
                char *const environment[] = { "X=y", 0 };
                switch (argv[1][0]) {
                case 'l': return execl("/bin/echo", "echo", "a", "b", (char *)0);
                case 'p': return execlp("echo", "echo", "a", "b", (char *)0);
                default: return execle("/usr/bin/env", "env", (char *)0, environment);
                }
            }''')
        self.assertEqual(umbra('run', '--', program, 'l').stdout, 'a b\n')
        self.assertEqual(umbra('run', '--', program, 'p').stdout, 'a b\n')
        self.assertEqual(umbra('run', '--', program, 'e').stdout, 'X=y\n')

    def copy(self, name):
        """The command and the library in a folder of their own."""
        folder = self.path / name
        folder.mkdir()
        shutil.copy(UMBRA, folder)
        shutil.copy(BUILD / 'libumbra-preload.so', folder)
        return folder

    def run_copy(self, folder, *args, **kwargs):
        return subprocess.run([folder / 'umbra', 'run', '--', *args], capture_output=True,
                              text=True, timeout=60, check=False, **kwargs)

    def test_a_library_that_does_not_load_is_missed(self):
        folder = self.copy('copy')
        (folder / 'libumbra-preload.so').write_text('nothing')
        program = self.compile('int main(void) { return 7; }')
        result = self.run_copy(folder, program)
        self.assertEqual(result.returncode, 7)
        self.assertIn(f'umbra: {program}: the library was not loaded', result.stderr)

    def test_what_cannot_be_executed_is_told_once(self):
        loader = self.path / 'ld-linux-x86-64.so.2'
        program = self.compile('int main(void) { return 0; }', f'-Wl,--dynamic-linker={loader}')
        result = umbra('run', '--', program)
        self.assertEqual(result.returncode, 126)
        self.assertEqual(result.stderr.count('\n'), 1, result.stderr)

    def test_a_program_that_gains_rights_is_refused(self):
        if os.getuid():
            self.skipTest('only root can make one for others')
        folder = self.copy('copy')
        program = self.compile('int main(void) { return 0; }')
        os.chmod(self.path, 0o755)
        self.assertEqual(self.run_copy(folder, program, user=65534).returncode, 0)
        os.chmod(program, 0o4755)
        result = self.run_copy(folder, program, user=65534)
        if result.returncode == 0:
            self.skipTest('the file system gives nobody rights')
        self.assertEqual(result.returncode, 126)
        self.assertIn('set-user-ID', result.stderr)
        # Whose it is already gains nothing.
        self.assertEqual(self.run_copy(folder, program).returncode, 0)

    def test_a_path_that_ld_preload_cannot_hold_is_linked_to(self):
        environment = {**os.environ, 'TMPDIR': str(self.path)}
        program = self.compile(CLIENT)
        for folder in (self.copy('with a blank'), self.copy('with:a colon')):
            for _ in range(2):
                result = self.run_copy(folder, program, env=environment)
                self.assertEqual((result.returncode, result.stderr), (0, ''))
        links = list(self.path.glob('umbra-*/libumbra-preload.so'))
        self.assertEqual(len(links), 2)
        # Not through what somebody else may change.
        for link in links:
            link.parent.chmod(0o777)
        result = self.run_copy(folder, program, env=environment)
        self.assertEqual(result.returncode, 126)
        self.assertIn('a path with a blank or a colon', result.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
