"""A training step on one rank and on two, beside PyTorch's DDP and FSDP2; and what a model makes of it for many GPUs.

    python3 tests/bench/scaling.py build/tests/bench_train_step [--case small --case nested] [--rounds 5]

First tables, measured: train_step.py's steps, in turns. 1 rank x 2 threads takes the whole batch as one (plain) or as two shards;
2 ranks x 1 thread take a shard each, with the same bits as the latter; PyTorch has 2 processes x 1 thread (gloo) with half of the
batch each. Medians over rounds of three steps after one that is not counted. comm: of a step, the part in transfers and waiting for
the other rank. Last table, computed, not measured: a GPU that needs --gpu-step seconds for its part of a batch, however many there
are, and the bytes that each --shard moves, over links of 450 GB/s inside a machine of 8 and 50 GB/s (400 Gb/s) between machines;
nothing overlaps.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from processor import processor
from train_step import TITLES, write_images
from train_step_peer import CASES

NVLINK, INFINIBAND, MACHINE = 450e9, 50e9, 8
# What a step moves per parameter, in bytes: gradients to their pieces, parameters (or gradients) back; in `full` parameters
# for forward and for backward.
MOVED = {"none": 8, "grad_op": 8, "full": 12}
PARAMETERS = {"vit_small": 22e6, "vit_base": 86e6, "vit_large": 304e6, "vit_giant2": 1136e6}


MODES = list(MOVED)
STEPS = 3


def run(command, environment, text):
    """The answers, one line of JSON each."""
    done = subprocess.run(command, env={**os.environ, **environment}, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def demi(options, case, files, mode=None, ranks=1):
    model, batch, boundary, _ = CASES[case]
    command = [options.program, model, str(batch), boundary, *files] + ([mode, "2"] if mode else [])
    if ranks > 1:
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        command = ["mpirun", "-q", *root, "--oversubscribe", "--bind-to", "none", "-np", str(ranks), *command]
    return run(command, {"DEMI_THREADS": str(2 // ranks)}, f"steps 1\nsteps {STEPS}\n" + ("comm 2\n" if mode else ""))


def torch(options, case, files, kind):
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_step_peer.py")
    command = [options.python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", peer, "--model", case, "--data", files[0],
               "--weights", files[1], "--threads", "1", "--distribute", kind, "--commands", f"steps 1,steps {STEPS}"]
    return run(command, {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **options.malloc}, "")


def measured(options, case):
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ("images", "weights")]
        write_images(files[0], *CASES[case][:2])
        sides = {"1 rank x 2 threads, plain": lambda: demi(options, case, files)}
        for mode in MODES:
            for ranks in (1, 2):
                name = f"{ranks} rank{'s' * (ranks - 1)} x {2 // ranks} thread{'s' * (2 - ranks)}, {mode}"
                sides[name] = lambda mode=mode, ranks=ranks: demi(options, case, files, mode, ranks)
        if options.python:
            for kind in ("ddp", "fsdp2", "fsdp2-full"):
                sides["PyTorch " + kind] = lambda kind=kind: torch(options, case, files, kind)
        times = {name: [] for name in sides}
        shares = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, side in sides.items():
                answers = side()
                times[name] += answers[1]["ms"]
                shares[name] += [a["share"] for a in answers if "share" in a]
    ms = {name: statistics.median(taken) for name, taken in times.items()}
    two = {mode: ms[f"2 ranks x 1 thread, {mode}"] for mode in MODES}
    print(f"measured: {TITLES[case]}; {processor()}; {time.strftime('%Y-%m-%d')}; load {os.getloadavg()[0]:.1f}")
    for name in sides:
        comm = f"   comm {100 * statistics.median(shares[name]):4.1f} %" if shares[name] else ""
        print(f"  {name:32}{ms[name]:9.1f} ms   (fastest {min(times[name]):.1f}){comm}")
    for mode in MODES:
        line = [f"{name} {ms[name] / two[mode]:.2f}" for name in sides if name.endswith(("plain", f"threads, {mode}")) or "PyTorch" in name]
        print(f"  speed of 2 ranks, {mode}: " + "; ".join(line) + f"; none {two['none'] / two[mode]:.2f}")
    sys.stdout.flush()


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
    parser.add_argument("program", help="bench_train_step")
    parser.add_argument("--case", action="append", choices=list(CASES), help="may be given again; default small and nested")
    parser.add_argument("--rounds", type=int, default=5, help="0: only the model")
    parser.add_argument("--python", default=sys.executable, help="with PyTorch; '': without its side")
    parser.add_argument("--tuned-malloc", action="store_true", help="PyTorch with glibc's allocator tuned to keep its memory")
    parser.add_argument("--model", default="vit_small", choices=list(PARAMETERS))
    parser.add_argument("--gpu-step", type=float, default=0.2)
    parser.add_argument("--parameters", type=float, default=0)
    options = parser.parse_args()
    tuned = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
    options.malloc = tuned if options.tuned_malloc else {}
    for case in (options.case or ["small", "nested"]) if options.rounds > 0 else []:
        measured(options, case)
    predicted(options)


main()
