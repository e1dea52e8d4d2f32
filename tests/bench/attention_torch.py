"""demi's attention beside PyTorch's on this machine, in turns: matmul-softmax-matmul and scaled_dot_product_attention.

    python3 tests/bench/attention_torch.py build/tests/bench_attention [--threads N] [--turns N]

Each turn runs demi's benchmark for one shape in a process of its own, then PyTorch here; medians over turns, in ms: of processor
time with one thread, the default (the machine may be shared), else of the wall clock.
"""
import argparse
import os
import statistics
import subprocess
import time

import torch
import torch.nn.functional as functional

SHAPES = {  # tokens, batch, heads
    "N65xB64xH3": (65, 64, 3),
    "N197xB8xH6": (197, 8, 6),
    "N197xB64xH6": (197, 64, 6),
    "N257xB8xH6": (257, 8, 6),
    "N785xB8xH6": (785, 8, 6),
}
SIZE = 64


def composite(q, k, v):
    return ((q * SIZE**-0.5) @ k.transpose(-2, -1)).softmax(-1) @ v


def peer_times(name, clock, rounds=5):
    tokens, batch, heads = SHAPES[name]
    qkv = torch.randn(batch, tokens, 3, heads, SIZE, requires_grad=True)
    grad = torch.randn(batch, tokens, heads, SIZE)
    times = {}
    for label, attend in (("composite", composite), ("sdpa", functional.scaled_dot_product_attention)):
        forward, backward = [], []
        for _ in range(rounds + 1):
            qkv.grad = None
            start = clock()
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            out = attend(q, k, v).transpose(1, 2)
            middle = clock()
            out.backward(grad)
            end = clock()
            forward.append((middle - start) * 1e3)
            backward.append((end - middle) * 1e3)
        times[label] = (statistics.median(forward[1:]), statistics.median(backward[1:]))
    return times


def own_times(program, name, threads):
    environment = dict(os.environ, DEMI_THREADS=str(threads))
    text = subprocess.run([program, "5", name], env=environment, check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in text.splitlines() if line.startswith(name)]
    return {path: (float(forward), float(backward)) for _, path, forward, backward, _ in lines}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--shape", choices=SHAPES, action="append", help="only these")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, medians of {arguments.turns} turns")
    print(f"{'shape':14} {'path':22} {'fwd ms':>8} {'bwd ms':>8}   fwd: x composite, x sdpa   bwd: x composite, x sdpa")
    for name in arguments.shape or SHAPES:
        samples = {}
        for _ in range(arguments.turns):
            for times in (own_times(arguments.program, name, arguments.threads), peer_times(name, time.process_time if arguments.threads == 1 else time.perf_counter)):
                for path, pair in times.items():
                    samples.setdefault(path, []).append(pair)
        median = {path: tuple(statistics.median(x) for x in zip(*pairs)) for path, pairs in samples.items()}
        for path, (forward, backward) in median.items():
            ratios = [median[peer][i] / (forward, backward)[i] for i in (0, 1) for peer in ("composite", "sdpa")]
            print(f"{name:14} {path:22} {forward:8.2f} {backward:8.2f}   " + "   ".join(f"{r:5.2f}" for r in ratios))


if __name__ == "__main__":
    main()
