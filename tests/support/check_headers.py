"""Compiles every public header alone, included twice, seeing public headers only (as an installed tree would). The
headers of UMBRELLAS must include every other public header of their layers.

usage: check_headers.py ROOT WORK_FOLDER HEADERS... -- COMPILER...
The build itself has compiled a header alone where a source includes it before anything else; those are only read. The
others are compiled, and again only when something that they include has changed.
"""
import concurrent.futures
import hashlib
import os
import re
import subprocess
import sys

ANY_INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)', re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
UMBRELLAS = {"ops/ops.h": ("autograd/", "ops/"), "models/models.h": ("models/",)}
FLAGS = "-std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Werror -x c++ -".split()


def fingerprint(root, header, compiler):
    seen, todo = set(), [header]
    digest = hashlib.sha256(" ".join(compiler).encode())
    while todo:
        name = todo.pop()
        if name in seen or not os.path.isfile(os.path.join(root, name)):
            continue
        seen.add(name)
        with open(os.path.join(root, name), encoding="utf-8") as f:
            text = f.read()
        digest.update(text.encode())
        todo += sorted(INCLUDE.findall(text))
    return digest.hexdigest()


def first_includes(root):
    """Headers that some source of the layers includes first."""
    found = set()
    for layer in ("runtime", "autograd", "ops", "models"):
        for at, _, files in os.walk(os.path.join(root, layer)):
            for name in files:
                if not name.endswith(".cpp"):
                    continue
                with open(os.path.join(at, name), encoding="utf-8") as f:
                    first = ANY_INCLUDE.search(f.read())
                if first and first.group(1) == '"':
                    found.add(first.group(2))
    return found


def problem(root, header, public):
    """What reading alone tells: an include that is not installed, or no guard against the second inclusion."""
    with open(os.path.join(root, header), encoding="utf-8") as f:
        text = f.read()
    included = INCLUDE.findall(text)
    private = [name for name in included if name not in public]
    if private:
        return "includes what is not public: " + ", ".join(private)
    missing = [name for name in public if name.startswith(UMBRELLAS.get(header, ())) and name not in included + [header]]
    if missing:
        return "lacks " + ", ".join(missing)
    return "" if re.search(r"^#pragma once$", text, re.M) else "has no #pragma once"


def stage(root, work, headers):
    """A folder with links to the public headers and nothing else."""
    folder = os.path.join(work, "include")
    for header in headers:
        link = os.path.join(folder, header)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if not os.path.islink(link):
            os.symlink(os.path.join(root, header), link)
    for at, _, files in os.walk(folder):
        for f in files:
            if os.path.relpath(os.path.join(at, f), folder) not in headers:
                os.unlink(os.path.join(at, f))
    return folder


def main():
    split = sys.argv.index("--")
    root, work, headers, compiler = sys.argv[1], sys.argv[2], sys.argv[3:split], sys.argv[split + 1:]
    absent = [name for name in UMBRELLAS if name not in headers]
    if absent:
        sys.exit("not among the public headers: " + ", ".join(absent))
    folder = stage(root, work, headers)

    built = first_includes(root)

    def check(header):
        text = problem(root, header, headers)
        if text or header in built:
            return header, not text, f"{header} {text}" if text else ""
        mark = os.path.join(work, "ok", header.replace("/", "_"))
        wanted = fingerprint(root, header, compiler)
        if os.path.isfile(mark) and open(mark, encoding="utf-8").read() == wanted:
            return header, True, ""
        code = f'#include "{header}"\n#include "{header}"\n'
        run = subprocess.run(compiler + ["-I" + folder] + FLAGS, input=code, text=True, capture_output=True)
        if run.returncode == 0:
            with open(mark, "w", encoding="utf-8") as f:
                f.write(wanted)
        return header, run.returncode == 0, run.stderr

    os.makedirs(os.path.join(work, "ok"), exist_ok=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for n, (header, good, text) in enumerate(pool.map(check, headers), 1):
            print(f"{'ok' if good else 'not ok'} {n} - {header}", flush=True)
            if not good:
                failed += 1
                print(text, file=sys.stderr)
    print(f"1..{len(headers)}")
    return 1 if failed else 0


sys.exit(main())
