"""Looks into the objects that go into the library (x86-64):

- no AVX instruction outside the objects of a higher instruction set, so that the library starts on any processor;
- no weak symbol inside those, because the linker could take such a copy for everyone.
usage: check_isa.py BUILD_FOLDER
"""
import glob
import re
import subprocess
import sys

AVX = re.compile(r"\t(v[a-z0-9]+)\s[^#\n]*%[xyz]mm|%[yz]mm")
ENTRY = re.compile(r"^[0-9a-f]+ <(.+)>:$", re.M)


def objects(build, isa):
    pattern = f"{build}/libdemi_*_{isa}.a.p/*.o"
    return sorted(glob.glob(pattern))


def disassemble(name):
    run = subprocess.run(["objdump", "-d", "--no-show-raw-insn", name], capture_output=True, text=True, check=True)
    return run.stdout


def avx_functions(name):
    found, function = set(), "?"
    for line in disassemble(name).splitlines():
        entry = ENTRY.match(line)
        if entry:
            function = entry.group(1)
        elif AVX.search(line):
            found.add(function)
    return sorted(found)


def weak_symbols(name):
    run = subprocess.run(["nm", "-C", name], capture_output=True, text=True, check=True)
    return [line for line in run.stdout.splitlines() if re.match(r"^\S* ?\s*[WVu] (?!DW\.ref)", line) and " w " not in line]


def main():
    build = sys.argv[1]
    results = []
    low = [o for o in glob.glob(f"{build}/libdemi_*.a.p/*.o") if "_isa_v" not in o.split("/")[-2]]
    for name in sorted(low):
        bad = avx_functions(name)
        results.append((name, "holds AVX instructions in " + ", ".join(bad[:4]) if bad else ""))
    for isa in ("isa_baseline", "isa_v3", "isa_v4"):
        for name in objects(build, isa):
            bad = weak_symbols(name)
            results.append((name, "holds weak symbols: " + "; ".join(bad[:4]) if bad else ""))
    failed = [(name, text) for name, text in results if text]
    for name, text in failed:
        print(f"{name[len(build):]}: {text}", file=sys.stderr)
    print(f"{len(results) - len(failed)} objects good, {len(failed)} bad")
    return 1 if failed or not low else 0


sys.exit(main())
