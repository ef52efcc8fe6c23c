#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the project to what docs/HACKING.md promises.

    check.py source ROOT             files: licence, layers, doors, rules, shape, documents
    check.py objects LIBRARY.a       mem/ and mmu/: no global state, one door to memory
    check.py cycles LIBRARY.a        no files that call in a circle, in the folders of ACYCLIC
    check.py archive LIBRARY.a       global symbols are the public ones
    check.py probes LIBRARY.so       arguments of probes mean something
    check.py exports LIBRARY.so LIST dynamic symbols are those of the list
"""
import pathlib
import re
import subprocess
import sys

# Which folder of src/ may include which, or which header of one.  Calls go down only.
LAYERS = {
    'base': {'base'},
    'sync': {'base', 'sync'},
    'mem': {'base', 'sync', 'mem'},
    'mmu': {'base', 'sync', 'mem', 'mmu'},
    'embed': {'base', 'sync', 'mem', 'mmu', 'embed', 'umbra'},
    # It reaches memory through mmu/ alone; its blocks are allocated at the same door.
    'cpu': {'base', 'sync', 'mem/alloc.h', 'mmu', 'cpu'},
    # Interrupt controllers and timers: they know no guest memory and no calls.
    'machine': {'base', 'sync', 'machine'},
    'kvm': {'base', 'sync', 'mem', 'mmu', 'machine', 'cpu', 'kvm', 'umbra'},
    'preload': {'base', 'sync', 'mem', 'kvm', 'preload', 'umbra'},
    # It starts what the preloaded library is in.
    'tool': {'preload', 'tool', 'boot', 'demo', 'stress', 'umbra'},
    'boot': {'tool', 'boot', 'umbra'},
    'demo': {'tool', 'demo', 'umbra'},
    'stress': {'tool', 'stress', 'umbra'},
}
# What the checker builds a second time, and drives.
CHECKED_LAYERS = {'base', 'sync', 'mem', 'mmu', 'machine'}
# The command and its parts are clients like any others.
COMMAND = {'tool', 'boot', 'demo', 'stress'}
# Names that only one folder may use, and who else is allowed.
DOORS = [
    # preload/ stands in for a function of that name.
    (r'\bpthread_(?!sigmask\b)\w+', {'sync'} | COMMAND),
    (r'\bpthread_sigmask\b', {'sync', 'preload'} | COMMAND),
    (r'\burcu_\w+|<urcu(?!/list\.h)', {'sync'}),
    (r'<stdatomic\.h>|\b__atomic_\w+|\b__sync_\w+',
     {'base', 'sync', 'preload'} | COMMAND),
    (r'\bSYS_futex\b|\bmembarrier\b', {'sync'}),
    (r'\bclock_gettime\b|\bgettimeofday\b|\b__builtin_ia32_rdtsc', {'sync'} | COMMAND),
    (r'<Zydis', {'cpu'}),
    (r'"/dev/kvm"', {'preload'} | COMMAND),
]
# Folders of src/ whose files do not call in circles.
ACYCLIC = {'mem', 'mmu', 'machine', 'kvm', 'cpu'}
MAX_LINES = 1200
MAX_COLUMNS = 100
MAX_FUNCTION = 60
# In a folder; one of data, a file an entry, has as many as it has entries.
MAX_FILES = 25
DATA = {'check/mutants'}
TAB = 8
SOURCE_ENDINGS = {'.c', '.h', '.S', '.def', '.py', '.sh', '.build', '.txt', '.ld', '.map'}

failures = []


def fail(where, what):
    failures.append(f'{where}: {what}')


def project_files(root):
    listed = subprocess.run(['git', '-C', root, 'ls-files', '-co', '--exclude-standard'],
                            capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        names = listed.stdout.split('\n')
        return [root / name for name in names if name and (root / name).is_file()]
    return [p for p in root.rglob('*') if p.is_file() and 'build' not in p.parts[len(root.parts)]]


def check_shape(root, path, text):
    name = path.relative_to(root)
    lines = text.split('\n')
    if 'SPDX-License-Identifier: MIT' not in '\n'.join(lines[:3]) and path.name != 'exports.txt' \
            and path.name != 'meson_options.txt':
        fail(name, 'needs "SPDX-License-Identifier: MIT" in its first three lines')
    if len(lines) > MAX_LINES:
        fail(name, f'{len(lines)} lines, at most {MAX_LINES}: split it by what it does')
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            fail(f'{name}:{number}', 'remove the blanks at the end of the line')
        if len(line.expandtabs(TAB)) > MAX_COLUMNS:
            fail(f'{name}:{number}', f'break the line: at most {MAX_COLUMNS} columns')
        if re.search(r'\b(TODO|FIXME|XXX)\b', line) and path != pathlib.Path(__file__).resolve():
            fail(f'{name}:{number}', 'do it now, or open an issue and remove the mark')
    # A line of a macro with nothing but its "\\" is as clang-format leaves it.
    if path.suffix in {'.c', '.h'} and re.search(r'^ {8,}(?![*\\])\S', text, re.M):
        fail(name, 'indent with tabs, not blanks (clang-format does)')


def check_functions(name, text):
    """Bodies begin and end in the first column."""
    begin = None
    for number, line in enumerate(text.split('\n'), 1):
        if line.startswith('{'):
            begin = number
        elif line.startswith('}') and begin:
            if number - begin - 1 > MAX_FUNCTION:
                fail(f'{name}:{begin}', f'{number - begin - 1} lines, at most {MAX_FUNCTION}: '
                     'divide the function')
            begin = None


def check_system_calls(name, text):
    """The seventh argument of syscall(2) goes by memory, where an int is half a word."""
    for found in re.finditer(r'\bsyscall\(SYS_mmap\b[^;]*?,\s*0\)', text):
        line = text.count('\n', 0, found.start()) + 1
        fail(f'{name}:{line}', 'write the offset as 0L: it is a long')


def check_checker(name, text):
    """The checker sees the layers that it drives; they never see it."""
    for include in re.findall(r'^#include [<"]([a-z]+)/', text, re.M):
        if name.parts[0] == 'src' and include == 'check':
            fail(name, 'src/ may not include check/: use check/shim/ or sync/checked.h')
        # It is one of the commands, and takes options like the others.
        if name.parts[0] == 'check' and include in LAYERS.keys() - CHECKED_LAYERS - {'tool'}:
            fail(name, f'check/ may not include {include}/, only {sorted(CHECKED_LAYERS)} and tool')
    if name.parts[0] == 'src' and name.parts[1] != 'sync' and 'UMBRA_CHECKED' in text:
        fail(name, 'only sync/ may test UMBRA_CHECKED: add what differs to its two back ends')


def check_layers(root, path, text):
    name = path.relative_to(root)
    check_checker(name, text)
    if name.parts[0] != 'src' or len(name.parts) < 3:
        return
    folder = name.parts[1]
    if name.parts[1:3] == ('demo', 'guest'):
        return
    for header, include in re.findall(r'^#include [<"](([a-z]+)/[^>"]*)', text, re.M):
        if include in LAYERS.keys() | {'umbra'} and not {include, header} & LAYERS[folder]:
            fail(name, f'{folder}/ may not include {header}: calls go down only, so let the '
                 'caller pass a function or a table of functions (docs/ARCHITECTURE.md)')
    for pattern, allowed in DOORS:
        found = re.search(pattern, re.sub(r'/\*.*?\*/|//[^\n]*', '', text, flags=re.S))
        if found and folder not in allowed:
            fail(name, f'only {sorted(allowed)} may use {found.group(0)}: call what they offer')
    if re.search(r'^\w[\w \t*]*\bkvm_\w+\(.*\)\s*\n\{', text, re.M):
        fail(name, 'rename the function: clients that we are preloaded into define kvm_ names')


FUNCTION = re.compile(r'^\w[^\n;{}=]*?\b(\w+)\([^;{}]*\)[^;{}]*\n\{\n.*?^\}', re.M | re.S)
CAPITALS = r'\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b'
# Rules that nothing can switch off: without the fast path's tables there is no fast path.
KEPT_BY_STRUCTURE = {'FAST_PF_ONLY_DIRECT'}
# In comments: names of the API's, the kernel's and the processor's that our code does not use.
FOREIGN = ('KVM_', 'MADV_', 'PAGEMAP_', 'TSC_', 'APIC_', 'SLURM_')


def functions(text):
    """Each function's name, and its text with the comment before it."""
    for found in FUNCTION.finditer(text):
        before = text[:found.start()]
        lead = before[before.rindex('/*'):] if before.endswith('*/\n') else ''
        yield found.group(1), lead + found.group(0)


def rule_places(root, rules):
    """Where each rule is marked by rule(), and where it is named: as coherence.md says it."""
    marked, named = {rule: set() for rule in rules}, {rule: set() for rule in rules}
    for path in sorted((root / 'src').rglob('*.[ch]')):
        text, where = path.read_text(), path.relative_to(root / 'src')
        marks = re.findall(r'\brule\(([A-Z]\w+)\)', text) if where.name != 'rule.h' else []
        for rule in set(marks) - rules.keys():
            fail(f'src/{where}', f'{rule} is marked but not in src/mem/rules.def')
        for function, body in functions(text):
            place = f'{where}: {function}()'
            for rule in re.findall(r'\brule\(([A-Z]\w+)\)', body):
                marks.remove(rule)
                marked.get(rule, set()).add(place)
            for rule in rules.keys() & set(re.findall(CAPITALS, body)):
                named[rule].add(place)
        if marks:
            fail(f'src/{where}', f'{marks} outside of any function')
    return marked, named


def listed_places(section):
    """`mmu/a.c: f()`, `g()`, `mmu/b.c: h()` between asterisks."""
    places, file = set(), ''
    for listed in re.findall(r'(?<!\*)\*(`[^*]*)\*(?!\*)', section):
        for item in re.findall(r'`([^`]*)`', re.sub(r'\s+', ' ', listed)):
            head, colon, function = item.rpartition(': ')
            file = head if colon else file
            places.add(f'{file}: {function}')
    return places


def check_rules(root):
    """Each rule has one sentence in rules.def and in docs/coherence.md, which says where it
    is kept; and in the code there are no others."""
    rules = {name: ''.join(re.findall(r'"([^"]*)"', text)) for name, text in re.findall(
        r'^RULE\((\w+),(.*?)\)$', (root / 'src/mem/rules.def').read_text(), re.M | re.S)}
    marked, named = rule_places(root, rules)
    patches = {path.stem for path in (root / 'check/mutants').glob('*.patch')}
    modelled = (root / 'check/world/guest.c').read_text()
    doc = (root / 'docs/coherence.md').read_text()
    sections = dict(re.findall(
        r'^\*\*([A-Z_0-9]+)\*\*: (.*?)(?=^\*\*[A-Z_0-9]+\*\*:|^## |\Z)', doc, re.M | re.S))
    for rule, sentence in rules.items():
        section = sections.get(rule, '')
        if sentence not in re.sub(r'\s+', ' ', section):
            fail('docs/coherence.md', f'{rule} is missing, or its sentence differs')
        listed = listed_places(section)
        for place in sorted(marked[rule] - listed):
            fail('docs/coherence.md', f'{rule} is marked in {place}: say so there')
        for place in sorted(listed - named[rule]):
            fail('docs/coherence.md', f'{rule} is not named in {place}: in {sorted(named[rule])}')
        if not listed:
            fail('docs/coherence.md', f'{rule} is kept nowhere: it is in {sorted(named[rule])}')
        if not marked[rule] and rule not in patches | KEPT_BY_STRUCTURE \
                and f'rule({rule})' not in modelled:
            fail('src/mem/rules.def', f'{rule} has neither a mark nor a patch')
    check_rule_names(root, rules.keys() | patches)


def check_rule_names(root, known):
    """A comment or a document that names a rule names one that there is; and code that is
    wrong on purpose is not here but in check/mutants."""
    sources = [p for folder in ('src', 'include', 'check') for p in (root / folder).rglob('*')
               if p.suffix in {'.c', '.h', '.def', '.S', '.py', '.build'}]
    code = '\n'.join(re.sub(r'/\*.*?\*/', '', p.read_text(), flags=re.S) for p in sources)
    used = set(re.findall(CAPITALS, code)) | known
    for path in sorted((root / 'src').rglob('*.[ch]')):
        text, where = path.read_text(), path.relative_to(root)
        if re.search(r'!\s*rule\(|\bmutant\(', text):
            fail(where, 'make what is wrong on purpose a patch in check/mutants/')
        for comment in re.findall(r'/\*.*?\*/', text, re.S):
            for name in set(re.findall(CAPITALS, comment)) - used:
                if not name.startswith(FOREIGN):
                    fail(where, f'a comment names {name}: there is no such rule or word')
    for name in ('coherence', 'checking', 'LOCKING', 'ARCHITECTURE'):
        text = (root / 'docs' / f'{name}.md').read_text()
        for word in sorted(set(re.findall(CAPITALS, text)) - used):
            if word.count('_') > 1 and not word.startswith(FOREIGN):
                fail(f'docs/{name}.md', f'names {word}: there is no such rule or word')


def check_rooms(files):
    for folder in sorted({file.parent for file in files}):
        count = sum(file.parent == folder for file in files)
        if count > MAX_FILES and 'corpus' not in folder.parts and str(folder) not in DATA:
            fail(f'{folder}/', f'{count} files, at most {MAX_FILES}: divide it')


def check_documents(root):
    """HACKING's map has every folder; and what it and CONTRIBUTING name exists."""
    hacking = (root / 'docs/HACKING.md').read_text()
    files = {path.relative_to(root) for path in project_files(root)}
    check_rooms(files)
    folders = {folder for file in files for folder in file.parents} - {pathlib.Path('.')}
    for folder in sorted({file.parent for file in files} & folders):
        if folder.parts[0].startswith('.') or 'corpus' in folder.parts:
            continue
        if not re.search(rf'(?<![\w/]){re.escape(str(folder))}/(?![\w/])', hacking):
            fail('docs/HACKING.md', f'"Where things are" needs a line for {folder}/')
    for document in ('docs/HACKING.md', 'CONTRIBUTING.md'):
        named = re.findall(r'`((?:src|check|tests|docs|include|man|tools|bench)/[\w./]*)`',
                           (root / document).read_text())
        for name in sorted(set(named)):
            if pathlib.Path(name) not in files | folders:
                fail(document, f'there is no {name}: correct the name')


def check_locks(root):
    """Each rank has its row in docs/LOCKING.md, in the same order; a function of mem/ or mmu/
    that other files call with a lock held says so at run time too."""
    ranks = re.findall(r'^RANK\((\w+), "(.*)"\)', (root / 'src/sync/ranks.def').read_text(), re.M)
    doc = (root / 'docs/LOCKING.md').read_text()
    rows = re.findall(r'^\| `RANK_(\w+)` \| `([^`]*)`', doc, re.M)
    if ranks != rows:
        fail('docs/LOCKING.md', f'its ranks are not those of src/sync/ranks.def: {rows}')
    files = [p for folder in ('mem', 'mmu') for p in (root / 'src' / folder).rglob('*.[ch]')]
    code = '\n'.join(p.read_text() for p in files if p.suffix == '.c')
    for header in (p for p in files if p.suffix == '.h'):
        required = r'^\w[^;{}#]*?\b(\w+)\([^;{}]*?\)\s*REQUIRES(?:_SHARED)?\([^;{}]*;'
        for name in re.findall(required, header.read_text(), re.M):
            body = re.search(rf'^\w[^;{{}}#]*\b{name}\([^;{{}}]*\)\n\{{(.*?)^\}}', code,
                             re.M | re.S)
            if body and not re.search(r'lock_assert_held|mutex_assert_held', body.group(1)):
                fail(header.relative_to(root), f'{name}() requires a lock and does not assert it: '
                     'mutex_assert_held() or rwlock_assert_held() at its head')


def check_source(root):
    check_documents(root)
    for path in project_files(root):
        if path.suffix not in SOURCE_ENDINGS and path.name not in {'Makefile', 'meson.build'}:
            continue
        text = path.read_text()
        check_shape(root, path, text)
        check_layers(root, path, text)
        if path.suffix == '.c':
            check_system_calls(path.relative_to(root), text)
            if path.relative_to(root).parts[0] in {'src', 'check'}:
                check_functions(path.relative_to(root), text)
    check_rules(root)
    check_locks(root)


def nm(*args):
    return subprocess.run(['nm', *args], capture_output=True, text=True, check=True).stdout


def symbols(library):
    """What nm says of each symbol, with the object it is in: folder_file.c.o."""
    member = ''
    for line in nm('--format=sysv', library).split('\n'):
        header = re.match(r'Symbols from .*\[(.*)\]:', line)
        if header:
            # A thin archive names its members with their folder.
            member = pathlib.Path(header.group(1)).name.removeprefix('src_')
        fields = [field.strip() for field in line.split('|')]
        if len(fields) == 7:
            yield member, fields


def check_objects(library):
    forbidden = {'malloc', 'calloc', 'realloc', 'free', 'mmap', 'munmap', 'printf', 'fprintf',
                 'rand', 'random', 'time', 'clock_gettime'}
    # The process host memory and the reservation make system calls only; and of the
    # latter there is one for the process.
    for_the_process = {'mem_reservation.c.o'}
    checked = set()
    for current, fields in symbols(library):
        if not re.match(r'(mem|mmu)_', current):
            continue
        checked.add(current.split('_')[0])
        name, _, kind, what, _, _, section = fields
        if re.match(r'\.t?(data|bss)(?!\.rel\.ro)', section) and what in {'OBJECT', 'TLS'} \
                and current not in for_the_process:
            fail(current, f'global state: {name}; move it into the VM or vCPU')
        if kind == 'U' and name in forbidden:
            fail(current, f'calls {name}(): use mem/alloc.h, and no clock or random numbers')
    for folder in {'mem', 'mmu'} - checked:
        fail(library, f'nothing of {folder}/ is in it')


def circles(uses):
    """The sets of files of which each one reaches each other: Tarjan's."""
    number, low, stack, found = {}, {}, [], []

    def visit(file):
        number[file] = low[file] = len(number)
        stack.append(file)
        for used in uses[file]:
            if used not in number:
                visit(used)
            if used in stack:
                low[file] = min(low[file], low[used])
        if low[file] == number[file]:
            circle = stack[stack.index(file):]
            del stack[stack.index(file):]
            if len(circle) > 1:
                found.append(circle)

    for file in uses:
        if file not in number:
            visit(file)
    return found


def check_cycles(library):
    """Files of which each can be read after those that it uses, and before its users."""
    defined, wanted, uses = {}, {}, {}
    for file, (name, _, kind, *_) in symbols(library):
        uses.setdefault(file, {})
        if kind in {'U', 'w'}:
            wanted.setdefault(file, []).append(name)
        elif kind.isupper():
            defined[name] = file
    for file, names in wanted.items():
        for name in names:
            if defined.get(name, file) != file:
                uses[file].setdefault(defined[name], []).append(name)
    for folder in ACYCLIC - {file.split('_')[0] for file in uses}:
        fail(library, f'nothing of {folder}/ is in it')
    for circle in circles(uses):
        if not ACYCLIC & {file.split('_')[0] for file in circle}:
            continue
        fail(library, 'these files call in a circle. Move what two of them need into a file '
             'below both, or hand the function down in a table (as struct mmu_ops):')
        for file in sorted(circle):
            for used in sorted(uses[file].keys() & set(circle)):
                names = ', '.join(sorted(uses[file][used]))
                failures.append(f'    {file.removesuffix(".o")} uses of '
                                f'{used.removesuffix(".o")}: {names}')


def check_exports(library, listing):
    exported = {line.split()[-1].split('@')[0]
                for line in nm('-D', '--defined-only', library).split('\n') if line}
    listed = set(pathlib.Path(listing).read_text().split())
    for name in sorted(exported - listed):
        fail(library, f'exports {name}: make it static, or add it to {listing}')
    for name in sorted(listed - exported):
        fail(library, f'does not export {name}: define it, or remove it from {listing}')


def check_archive(library):
    for line in nm('-g', '--defined-only', library).split('\n'):
        fields = line.split()
        if len(fields) == 3 and not fields[2].startswith('umbra_'):
            fail(library, f'shows {fields[2]}: only umbra_ names may stay global (tools/archive)')


def check_probes(library):
    """An argument that is the same constant wherever its probe stands says nothing."""
    notes = subprocess.run(['readelf', '-n', library], capture_output=True, text=True,
                           check=True).stdout
    sites = {}
    for name, arguments in re.findall(r'Name: (\w+)\n.*\n +Arguments: ?(.*)\n', notes):
        sites.setdefault(name, []).append(arguments.split())
    if not sites:
        fail(library, 'has no probes: configure with -Dprobes=enabled')
    for name, arguments in sites.items():
        for number, values in enumerate(zip(*arguments), 1):
            if len(set(values)) == 1 and re.search(r'@\$', values[0]):
                fail(library, f'probe {name}: argument {number} is always {values[0]}: '
                     'pass what varies, or remove it')


def main():
    what, *args = sys.argv[1:]
    if what == 'source':
        check_source(pathlib.Path(args[0]).resolve())
    elif what == 'objects':
        check_objects(args[0])
    elif what == 'cycles':
        check_cycles(args[0])
    elif what == 'archive':
        check_archive(args[0])
    elif what == 'probes':
        check_probes(args[0])
    elif what == 'exports':
        check_exports(args[0], args[1])
    else:
        sys.exit(__doc__)
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
