"""index_select_cat and scaled_index_add beside PyTorch, at DINOv2's shapes, as ratios of processor time.

usage: index_ops_torch.py BENCH [--threads N] [--rounds N] [--dtype f32]
BENCH is build/tests/bench_index_ops. Ours and PyTorch's take turns, round by round; the best of all rounds counts. "via
half" is the usual cure for fp16-only operators: cast to half, run, cast back.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time

import torch

SIZES = {
    "tiny [64,65,192]": (64, 65, 192, 0.6),
    "ViT-S [64,257,384]": (64, 257, 384, 0.6),
    "ViT-L [64,257,1024]": (64, 257, 1024, 0.6),
    "ViT-g local [96,50,1536]": (96, 50, 1536, 0.6),
}
OURS = ["strict, counted", "wide"]
OPS = ["select", "select fwd+bwd", "add", "add fwd+bwd"]


class Work:
    def __init__(self, b, m, d, keep, dtype):
        kept = int(b * keep)
        self.x = torch.randn(b, m, d).to(dtype)
        self.source = torch.randn(kept, m, d).to(dtype)
        self.scaling = torch.randn(d).to(dtype)
        self.dy = torch.randn(b, m, d).to(dtype)
        self.dy_flat = torch.randn(kept * m * d).to(dtype)
        self.index = torch.randperm(b)[:kept]


def select(x, w):
    return torch.cat([x.flatten(1).index_select(0, w.index).flatten()])


def add(x, source, scaling, w):
    return torch.index_add(x, 0, w.index, source * scaling, alpha=1 / 0.6)


def run(op, w, half):
    dtype = w.x.dtype
    backward = op.endswith("bwd")
    x, source, scaling = (t.detach().requires_grad_(backward) for t in (w.x, w.source, w.scaling))
    enter = (lambda t: t.half()) if half else (lambda t: t)
    if op.startswith("select"):
        y = select(enter(x), w).to(dtype)
    else:
        y = add(enter(x), enter(source), enter(scaling), w).to(dtype)
    if backward:
        y.backward(w.dy_flat if op.startswith("select") else w.dy)


def best_of(op, w, half, seconds=0.3):
    run(op, w, half)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        run(op, w, half)
        best = min(best, time.process_time() - start)
    return best * 1e3


def ours(bench, name, dtype, threads):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        pattern = f"{name} {dtype}/({'|'.join(OPS)})/({'|'.join(OURS)}|memcpy)/.*"
        for sign in "[]+":  # a dot in their place: regular expressions differ in what they escape
            pattern = pattern.replace(sign, ".")
        subprocess.run([bench, "--benchmark_filter=" + pattern,
                        "--benchmark_min_time=0.2", f"--benchmark_out={out.name}", "--benchmark_out_format=json"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env={**os.environ, "DEMI_THREADS": str(threads)})
        times = {}
        for entry in json.load(open(out.name))["benchmarks"]:
            _, op, path = entry["name"].split("/")[:3]
            times[op, path] = entry["cpu_time"]
        return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=["f32", "bf16", "f16"], default="f32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[options.dtype]
    print(f"PyTorch {torch.__version__}, {options.threads} thread(s), {options.dtype}, ms of processor time, best of {options.rounds} rounds")
    print(f"{'shape':26}{'op':16}{'demi strict':>12}{'demi wide':>12}{'torch':>10}{'via half':>10}"
          f"{'torch/wide':>12}{'half/strict':>12}")
    for name, size in SIZES.items():
        w, best = Work(*size, dtype), {}
        for _ in range(options.rounds):
            rounds = ours(options.bench, name, options.dtype, options.threads)
            for op in OPS:
                rounds[op, "torch"] = best_of(op, w, False)
                rounds[op, "half"] = best_of(op, w, True)
            for key, value in rounds.items():
                best[key] = min(value, best.get(key, value))
        for op in OPS:
            strict, wide = best[op, OURS[0]], best[op, OURS[1]]
            plain, half = best[op, "torch"], best[op, "half"]
            print(f"{name:26}{op:16}{strict:12.3f}{wide:12.3f}{plain:10.3f}{half:10.3f}{plain / wide:12.2f}{half / strict:12.2f}")


main()
