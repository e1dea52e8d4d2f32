#!/usr/bin/env python3
"""Which kernels of an emulated test program never ran.

    DEMI_GPU_EMULATION_COVERAGE=ran.txt DEMI_TEST_DEVICE=cuda build-emu/tests/test_ops
    python3 tests/support/gpu/coverage.py build-emu/tests/test_ops ran.txt

Prints a line for each instantiation of a kernel that the program holds and that never ran, then 'N of M ran'. With
--names the instantiations of one template count as one kernel. Exit status 1 where something never ran.
"""
import re
import subprocess
import sys


def kernels(program):
    """{place in the program: name with the source's lines}"""
    start, found = 0, {}
    for line in subprocess.run(['nm', '-C', program], capture_output=True, text=True, check=True).stdout.splitlines():
        address, _, name = (line.split(' ', 2) + ['', ''])[:3]
        if name == '__executable_start':
            start = int(address, 16)
        match = re.match(r'.*gpu::launch<(.*)>\(.*::_FUN\(', name)
        if match:
            kernel = match.group(1).strip().replace('(anonymous namespace)::', '').replace('demi::', '')
            found[int(address, 16)] = kernel.replace('gpu_kernels::', '').replace(' >', '>')
    return {at - start: name for at, name in found.items()}


def main():
    names = '--names' in sys.argv
    arguments = [a for a in sys.argv[1:] if a != '--names']
    if len(arguments) != 2:
        sys.exit(__doc__)
    program, ran_path = arguments
    with open(ran_path) as f:
        ran = {int(line, 16) for line in f if line.strip()}
    every = kernels(program)
    if names:
        every_names = {n.split('<')[0] for n in every.values()}
        missing = sorted(every_names - {every[p].split('<')[0] for p in ran if p in every})
        total = len(every_names)
    else:
        missing = sorted(every[p] for p in every if p not in ran)
        total = len(every)
    print('\n'.join(missing))
    print(f'{total - len(missing)} of {total} ran')
    sys.exit(1 if missing else 0)


if __name__ == '__main__':
    main()
