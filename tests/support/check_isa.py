"""Looks into the objects that go into the library (x86-64):

- no AVX instruction outside the objects of a higher instruction set, so that the library starts on any processor;
- no weak symbol inside those, because the linker could take such a copy for everyone;
- the innermost loops of the product and attention kernels keep their sums in registers (no vector goes to or comes
  from the stack);
- no object is compiled with -march=native or tuned for Zen, where GCC 12's scheduling costs a product a third;
- no source of an operator waits for other threads in the middle of its work (barriers, latches, condition variables).
usage: check_isa.py BUILD_FOLDER
"""
import glob
import json
import os
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


JUMP = re.compile(r"^\s*([0-9a-f]+):\s+j[a-z]+\s+([0-9a-f]+)\b")
STACK = re.compile(r"\(%r[sb]p[^)]*\)[^\n]*%[yz]mm|%[yz]mm\d+,[^\n]*\(%r[sb]p")


def spilling_loops(name):
    """(number of inner loops with at least 8 fused multiply-adds, those that touch the stack with a vector)"""
    code = disassemble(name).splitlines()
    place = {line.split(":")[0].strip(): n for n, line in enumerate(code) if re.match(r"^\s+[0-9a-f]+:\t", line)}
    loops = []
    for n, line in enumerate(code):
        jump = JUMP.match(line)
        if jump and place.get(jump.group(2), n) < n:
            loops.append((place[jump.group(2)], n))
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    # A comparison marks an epilogue's polynomial, whose coefficients may wait on the stack.
    hot = [code[a:b + 1] for a, b in inner if sum("vfmadd" in line for line in code[a:b + 1]) >= 8
           and not any("vcmp" in line for line in code[a:b + 1])]
    return len(hot), [body[0].strip() for body in hot if any(STACK.search(line) for line in body)]


def bad_flags(build):
    """(number of compile commands, those that are tuned for the building machine or for Zen)"""
    with open(f"{build}/compile_commands.json") as file:
        commands = json.load(file)
    wrong = re.compile(r"-m(?:arch|tune)=(?:native|znver\d|bdver\d)")
    return len(commands), sorted({command["file"] for command in commands if wrong.search(command["command"])})


WAITS = re.compile(r"std::(barrier|latch|condition_variable|counting_semaphore|binary_semaphore)|pthread_barrier|#pragma omp")


def waiting_sources(root):
    sources = [name for end in ("h", "cpp") for name in glob.glob(f"{root}/ops/**/*.{end}", recursive=True)]
    return len(sources), [name for name in sources if WAITS.search(open(name).read())]


def main():
    build = sys.argv[1]
    results = []
    count, bad = bad_flags(build)
    results += [(f"{build}/compile_commands.json", f"tunes for one machine: {name}") for name in bad]
    print(f"{count} compile commands")
    count, bad = waiting_sources(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    results += [(name, "waits for other threads inside an operator") for name in bad]
    results += [] if count else [(build, "no operator sources found")]
    print(f"{count} sources of operators")
    low = [o for o in glob.glob(f"{build}/libdemi_*.a.p/*.o") if "_isa_v" not in o.split("/")[-2]]
    for name in sorted(low):
        bad = avx_functions(name)
        results.append((name, "holds AVX instructions in " + ", ".join(bad[:4]) if bad else ""))
    for isa in ("isa_baseline", "isa_v3", "isa_v4"):
        for name in objects(build, isa):
            bad = weak_symbols(name)
            results.append((name, "holds weak symbols: " + "; ".join(bad[:4]) if bad else ""))
    for name in objects(build, "isa_v3") + objects(build, "isa_v4"):
        if "gemm" in name.split("/")[-1] or "attention_tiles" in name:
            count, bad = spilling_loops(name)
            print(f"{name[len(build):]}: {count} inner loops of a product")
            text = "spills in the loops at " + "; ".join(bad[:4]) if bad else "" if count >= 4 else "has no product's loops"
            results.append((name, text))
    failed = [(name, text) for name, text in results if text]
    for name, text in failed:
        print(f"{name[len(build):]}: {text}", file=sys.stderr)
    print(f"{len(results) - len(failed)} objects good, {len(failed)} bad")
    return 1 if failed or not low else 0


sys.exit(main())
