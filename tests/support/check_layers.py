"""What a file may include, how long it may be: the rules that keep the layers apart.

Layers: runtime <- autograd <- ops <- models <- examples; tests/<layer> sees that layer and those below.
usage: check_layers.py ROOT
"""
import os
import re
import statistics
import subprocess
import sys

LAYERS = ["runtime", "autograd", "ops", "models", "examples"]
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)
CUDA_HEADER = re.compile(r"^(cuda|cublas|curand|cooperative_groups|cub/|thrust/|nvtx|mma\.h)")
KERNEL = re.compile(r"(_kernels\.h|_cpu\.cpp|\.cuh?)$")
LONG_KERNEL = re.compile(r"\.cuh?$")
MACHINE_PATH = re.compile("/(work|farm|home|root)" + "/")
MAX_LINES, MAX_KERNEL_LINES = 300, 500
OTHER_REVISIONS = "tests/bits/headers.h"  # names headers of revisions before and after this one


def tracked(root):
    """Tracked and new files; in a tarball without git, whatever lies in the known folders."""
    names = []
    try:
        command = ["git", "-C", root, "ls-files", "-co", "--exclude-standard"]
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pass
    if not names:
        for top in LAYERS + ["tests"]:
            for folder, _, files in os.walk(os.path.join(root, top)):
                names += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    return sorted(n for n in set(names) if os.path.isfile(os.path.join(root, n)))


def layer_of(name):
    part = name.split("/")
    if part[0] == "tests":
        return LAYERS.index(part[1]) if part[1] in LAYERS else len(LAYERS)
    return LAYERS.index(part[0]) if part[0] in LAYERS else None


class Checker:
    def __init__(self, root):
        self.root = root
        self.errors = []
        self.cache = {}

    def error(self, name, text):
        self.errors.append(f"{name}: {text}")

    def includes(self, name):
        if name not in self.cache:
            with open(os.path.join(self.root, name), encoding="utf-8") as f:
                self.cache[name] = INCLUDE.findall(f.read())
        return self.cache[name]

    def reached(self, name):
        """Every include, our own headers followed."""
        seen, todo, found = {name}, [name], set()
        while todo:
            for quote, target in self.includes(todo.pop()):
                found.add((quote, target))
                if os.path.isfile(os.path.join(self.root, target)) and target not in seen:
                    seen.add(target)
                    todo.append(target)
        return found

    def check_includes(self, name):
        own = layer_of(name)
        for quote, target in self.includes(name):
            layer = layer_of(target) if "/" in target else None
            if quote == '"':
                if name == OTHER_REVISIONS and not os.path.isfile(os.path.join(self.root, target)):
                    continue
                if not os.path.isfile(os.path.join(self.root, target)):
                    self.error(name, f'"{target}" is not a path from the root (system headers take <>)')
                elif layer is not None and layer > own and not target.startswith("tests/"):
                    self.error(name, f'includes "{target}", which lies above {LAYERS[own]}/')
                elif target.startswith("tests/") and not name.startswith("tests/"):
                    self.error(name, f'includes "{target}": only tests may')
            if target.startswith("Eigen/") and not name.startswith("tests/"):
                self.error(name, "Eigen is the tests' reference")
            if CUDA_HEADER.match(target) and quote == "<":
                if not (name.endswith((".cu", ".cuh")) or name.startswith("runtime/cuda/")):
                    self.error(name, f"<{target}> belongs in *.cu, *.cuh and runtime/cuda/")

    def check_kernel(self, name):
        for _, target in sorted(self.reached(name)):
            if target.startswith("autograd/"):
                self.error(name, f'a kernel file reaches "{target}": kernels see Tensors only')

    def check(self, names):
        lengths = []
        for name in names:
            if not name.endswith((".h", ".cpp", ".cu", ".cuh", ".py", ".sh", "meson.build")):
                continue
            with open(os.path.join(self.root, name), encoding="utf-8") as f:
                text = f.read()
            lines = text.count("\n")
            limit = MAX_KERNEL_LINES if LONG_KERNEL.search(name) else MAX_LINES
            if lines > limit:
                self.error(name, f"{lines} lines, at most {limit}: which two things does it hold?")
            if MACHINE_PATH.search(text):
                self.error(name, "holds an absolute path of one machine")
            if not name.endswith((".h", ".cpp", ".cu", ".cuh")):
                continue
            lengths.append(lines)
            guarded = re.search(r"^#pragma once", text, re.M) or re.search(r"/precompiled\w*\.h$", name)
            if name.endswith((".h", ".cuh")) and not guarded:
                self.error(name, "no #pragma once")
            if layer_of(name) is not None:
                self.check_includes(name)
                if name.startswith("ops/") and KERNEL.search(name):
                    self.check_kernel(name)
        if lengths:
            print(f"{len(lengths)} source files, median {statistics.median(lengths):.0f} lines, longest {max(lengths)}")


def main():
    checker = Checker(sys.argv[1])
    checker.check(tracked(sys.argv[1]))
    print("\n".join(checker.errors))
    return 1 if checker.errors else 0


sys.exit(main())
