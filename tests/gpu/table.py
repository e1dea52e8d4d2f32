"""The benchmark table, as Markdown, from the lines of gpu_bench and torch_bench.py.

usage: table.py OURS [PYTORCH]; a line is {"name", "ms", "bytes" and/or "flops"}; files that are missing leave gaps.
"""
import json
import os
import sys


def read(path):
    if not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8") as f:
        return {line["name"]: line for line in map(json.loads, f)}


def main():
    ours = read(sys.argv[1])
    peers = read(sys.argv[2]) if len(sys.argv) > 2 else {}
    copy = ours.get("copy")
    peak = copy["bytes"] / copy["ms"] if copy else None
    print("| | ms | GB/s | of copy | TFLOP/s | PyTorch, ms | times faster |")
    print("|---|---|---|---|---|---|---|")
    for name, line in ours.items():
        rate = line["bytes"] / line["ms"] / 1e6 if line.get("bytes") else None
        cells = [name, f"{line['ms']:.3f}", f"{rate:.0f}" if rate else "",
                 f"{line['bytes'] / line['ms'] / peak:.0%}" if rate and peak else "",
                 f"{line['flops'] / line['ms'] / 1e9:.1f}" if line.get("flops") else ""]
        peer = peers.get(name) or peers.get(name.removesuffix(", CUDA graph").removesuffix(", uncounted"))
        cells += [f"{peer['ms']:.3f}", f"{peer['ms'] / line['ms']:.2f}"] if peer else ["", ""]
        print("| " + " | ".join(cells) + " |")


main()
