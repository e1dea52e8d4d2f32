"""Steps on one rank and on several, measured here side by side; and what a model makes of it for many GPUs.

usage: scaling.py BUILD_FOLDER [--batch 8] [--model vit_small] [--data FOLDER --image 224] [--rounds 3] [--gpu-step SECONDS] [--parameters N]

First table, measured: seconds per step of train_vit with one rank x 2 threads and two ranks x 1 thread (the same two
shards, so the same bits), for each --shard; medians over rounds that take turns. Second table, computed, not measured: a GPU
that needs --gpu-step seconds for its part of a batch, however many there are, and the bytes that each --shard moves, over
links of 450 GB/s inside a machine of 8 and 50 GB/s (400 Gb/s) between machines; nothing overlaps.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time

NVLINK, INFINIBAND, MACHINE = 450e9, 50e9, 8
# What a step moves per parameter, in bytes: gradients to their pieces, parameters (or gradients) back; in `full` parameters
# for forward and for backward.
MOVED = {"none": 8, "grad_op": 8, "full": 12}
PARAMETERS = {"vit_small": 22e6, "vit_base": 86e6, "vit_large": 304e6, "vit_giant2": 1136e6}


def seconds(options, build, ranks, threads, mode, steps):
    out = tempfile.mkdtemp(prefix="demi-scaling-")
    command = [os.path.join(build, "examples", "train_vit"), "--model", options.model, "--batch", str(options.batch), "--steps", str(steps), "--shards", "2", "--shard", mode,
               "--threads", str(threads), "--train-images", str(options.batch * 40), "--test-images", "2", "--out", out + "/run"]
    if options.data:
        command += ["--data", options.data, "--patch", "16", "--image-size", str(options.image)]
    else:
        command += ["--patch", "4"]  # drawn pictures of 32 x 32: 65 tokens
    if ranks > 1:
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        command = ["mpirun", "-q", *root, "--oversubscribe", "--bind-to", "none", "-np", str(ranks), *command]
    begin = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(out, ignore_errors=True)
    return time.time() - begin


def measured(options):
    print(f"measured: {options.model}, batch {options.batch}, two shards; seconds per step, median of {options.rounds} rounds")
    few, many = 2, 2 + options.steps
    for mode in MOVED:
        steps = {1: [], 2: []}
        for _ in range(options.rounds):
            for ranks, threads in [(1, 2), (2, 1)]:  # the difference of two lengths: start and test drop out
                took = [seconds(options, options.build, ranks, threads, mode, n) for n in (few, many)]
                steps[ranks].append((took[1] - took[0]) / (many - few))
        one, two = statistics.median(steps[1]), statistics.median(steps[2])
        print(f"  {mode:8} 1 rank x 2 threads {one:.3f}   2 ranks x 1 thread {two:.3f}   speed {one / two:.2f}")


def predicted(options):
    count = options.parameters or PARAMETERS[options.model]
    print(f"model, not a measurement: {count / 1e6:.0f} M parameters, {options.gpu_step} s of computing per step and GPU; "
          "share of a step that computes")
    print("  GPUs " + "".join(f"{mode:>10}" for mode in MOVED) + "   bytes per parameter and GPU: none, grad_op, full")
    ranks = 1
    while ranks <= 1024:
        link = NVLINK if ranks <= MACHINE else INFINIBAND
        shares = [options.gpu_step / (options.gpu_step + moved * count * (ranks - 1) / ranks / link) for moved in MOVED.values()]
        print(f"  {ranks:4} " + "".join(f"{share:10.3f}" for share in shares) +
              f"   20, {4 + 16 / ranks:.2f}, {20 / ranks:.2f}")
        ranks *= 2
    slow = {mode: moved * count / INFINIBAND for mode, moved in MOVED.items()}
    print("between machines a step waits " + ", ".join(f"{t:.3f} s ({mode})" for mode, t in slow.items()) +
          f": full pays only where grad_op's {4 + 16 / 1024:.1f} bytes per parameter do not fit")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--data", default="")
    parser.add_argument("--model", default="vit_small", choices=list(PARAMETERS))
    parser.add_argument("--image", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu-step", type=float, default=0.2)
    parser.add_argument("--parameters", type=float, default=0)
    options = parser.parse_args()
    if options.rounds > 0:
        measured(options)
    predicted(options)


main()
