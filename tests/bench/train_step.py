"""A training step of demi beside PyTorch's (eager, scaled_dot_product_attention, fused AdamW), in turns.

    python3 tests/bench/train_step.py build/tests/bench_train_step --model tiny --out speed.json
    python3 tests/bench/train_step.py --table --out speed.json            # all that was measured so far, as Markdown

Three processes stay alive and take a few steps in turn: demi, PyTorch as installed, PyTorch with glibc's allocator tuned to keep its
memory (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_). Same model, first weights, batch, images, rate and number of threads; the
losses of the first step must agree. Medians over all steps but the first ones. The bound is the step's FLOPs over the processor's
multiply-add rate plus the bytes of activations (82 passes of tokens x width per layer) and optimizer (28 bytes a parameter) over its
copy bandwidth, both measured in the same run.

nested is DINOv2's student: 2 large and 8 small crops of each image, drop path 0.3, LayerScale. demi packs them into one sequence with
its three operators in place (strict fp16 boundary). PyTorch runs the crops as two plain batches with the same subsets' sizes and the
casts of the original fix: to half before, to float after index_select, attention and index_add; "no casts" leaves them out.
"""
import argparse
import array
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

from processor import processor
from train_step_peer import CASES, SIZES, image_shapes, kept_rows

TITLES = {
    "tiny": "ViT-Tiny, 32², patch 4, batch 64",
    "tiny-b1": "ViT-Tiny, batch 1",
    "tiny-fp16-ops": "ViT-Tiny, batch 64, fp16 attention in place",
    "small": "ViT-S/16, 224², batch 8",
    "small-fp16-ops": "ViT-S/16, batch 8, fp16 attention in place",
    "nested": "DINOv2 nested, S/16, 4 × 224² + 16 × 96², three fp16 operators in place",
    "nested-no-casts": "DINOv2 nested, all f32, no casts on either side",
}


def work(model, batch):
    """(FLOPs, bytes) of a step."""
    dim, depth, _, patch, classes = SIZES[model]
    flops = moved = 0
    parameters = depth * (12 * dim * dim + 13 * dim) + 3 * patch * patch * dim + dim * classes
    for shape in image_shapes(model, batch):
        grid = (shape[2] // patch) ** 2
        samples = kept_rows(shape[0], model)
        rows = samples * (grid + 1)
        flops += 3 * depth * 2 * rows * 12 * dim * dim  # products: forward, and two backward
        flops += 2 * 2 * shape[0] * grid * 3 * patch * patch * dim + 3 * 2 * shape[0] * dim * classes
        flops += 3.5 * depth * 4 * samples * (grid + 1) ** 2 * dim  # attention: 2 products forward, 5 backward
        moved += 82 * depth * rows * dim * 4
    return flops, moved + 28 * parameters


class Side:
    def __init__(self, command, environment):
        self.process = subprocess.Popen(command, env=dict(os.environ, **environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.times, self.first_loss = [], None

    def ask(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"a side ended: {self.process.args[:3]}")
        return json.loads(line)

    def steps(self, count, keep):
        answer = self.ask(f"steps {count}")
        if self.first_loss is None:
            self.first_loss = answer["loss"]
        if keep:
            self.times += answer["ms"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def write_images(path, model, batch):
    draw = random.Random(1)
    with open(path, "wb") as file:
        for shape in image_shapes(model, batch):
            block = array.array("f", (draw.gauss(0, 1) for _ in range(3 * shape[2] * shape[3])))
            for _ in range(shape[0]):  # every image another rotation of the same noise
                cut = draw.randrange(len(block))
                (block[cut:] + block[:cut]).tofile(file)


def startup_ms(program):
    times = []
    for _ in range(15):
        start = time.perf_counter()
        subprocess.run([program], check=True)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def measure(arguments):
    model, batch, boundary, _ = CASES[arguments.model]
    with tempfile.TemporaryDirectory() as folder:
        data, weights = os.path.join(folder, "images"), os.path.join(folder, "weights")
        write_images(data, model, batch)
        threads = {"DEMI_THREADS": str(arguments.threads)}
        own = Side([arguments.program, model, str(batch), boundary, data, weights], threads)
        own.steps(1, False)
        sides = {"demi": own}
        peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_step_peer.py")
        command = [arguments.python, peer, "--model", arguments.model, "--data", data, "--weights", weights,
                   "--threads", str(arguments.threads)]
        if not arguments.alone:
            peer = {"OMP_NUM_THREADS": str(arguments.threads), "MKL_NUM_THREADS": str(arguments.threads)}
            sides["torch"] = Side(command, peer)
            sides["torch tuned"] = Side(command, dict(peer, MALLOC_MMAP_THRESHOLD_="4294967296", MALLOC_TRIM_THRESHOLD_="8589934592"))
            for side in list(sides.values())[1:]:
                side.steps(1, False)
        machine = Side([arguments.program, "peaks"], threads)  # a process of its own: its arrays are not the step's memory
        machine.ask("peaks")
        peaks = []
        for side in sides.values():
            side.steps(1, False)
        settled = own.ask("memory")
        finish = time.perf_counter() + arguments.seconds
        while time.perf_counter() < finish:
            for side in sides.values():
                side.steps(arguments.steps, True)
                time.sleep(0.02)
            peaks.append(machine.ask("peaks"))
        memory = {name: side.ask("memory") for name, side in sides.items()}
        if arguments.profile:
            own.ask(f"profile {arguments.profile} {arguments.steps}")
        for side in (machine, *sides.values()):
            side.close()
    flops, moved = work(model, batch)
    rate, bandwidth = (statistics.median(sample[what] for sample in peaks) for what in ("flops", "bandwidth"))
    result = {
        "threads": arguments.threads, "processor": processor(), "date": time.strftime("%Y-%m-%d"), "gflop": flops / 1e9, "gflops": rate / 1e9, "bandwidth": bandwidth / 1e9,
        "bound_ms": (flops / rate + moved / bandwidth) * 1e3 if rate else 0,
        "ms": {name: statistics.median(side.times) for name, side in sides.items()},
        "steps": len(own.times), "first_loss": {name: side.first_loss for name, side in sides.items()},
        "peak_mb": {name: memory[name]["peak_rss_kb"] / 1e3 for name in sides},
        "above_idle_mb": {name: (memory[name]["peak_rss_kb"] - memory[name]["idle_rss_kb"]) / 1e3 for name in sides if name != "demi"},
        "system_allocations": memory["demi"]["system_allocations"] - settled["system_allocations"],
        "startup_ms": startup_ms(arguments.program),
        "version": memory.get("torch", {}).get("version", ""),
    }
    return result


def table(results):
    lines = ["| step, 2 threads | demi | PyTorch | ratio | PyTorch, tuned malloc | ratio | bound | demi / bound | peak MB: demi, PyTorch (above its idle) |",
             "|---|---|---|---|---|---|---|---|---|"]
    for name, title in TITLES.items():
        if name not in results:
            continue
        r = results[name]
        ms, own = r["ms"], r["ms"]["demi"]
        cells = [title.replace("2 threads", f"{r['threads']} threads"), f"{own:.4g} ms"]
        for peer in ("torch", "torch tuned"):
            cells += [f"{ms[peer]:.4g}", f"**{ms[peer] / own:.2f}**"] if peer in ms else ["-", "-"]
        cells += [f"{r['bound_ms']:.4g}", f"{own / r['bound_ms']:.2f}"]
        peak = r["peak_mb"]
        cells.append(f"{peak['demi']:.0f}, {peak['torch']:.0f} ({r['above_idle_mb']['torch']:.0f})" if "torch" in peak else f"{peak['demi']:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    notes = {f"{r['date']}, {r['threads']} threads of {r['processor']}: {r['gflops']:.0f} GFLOP/s, copy {r['bandwidth']:.0f} GB/s"
             for r in results.values() if "processor" in r}
    return "\n".join(lines + [""] + sorted(notes))


def results_of(arguments, name, measure):
    """What --out holds and, without --table, the result measured now, which is added to it."""
    results = {}
    if arguments.out and os.path.exists(arguments.out):
        with open(arguments.out) as file:
            results = json.load(file)
    if not arguments.table:
        results[name] = measure(arguments)
        print(json.dumps(results[name], indent=1), file=sys.stderr)
        if arguments.out:
            with open(arguments.out, "w") as file:
                json.dump(results, file, indent=1)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?")
    parser.add_argument("--model", choices=CASES, default="tiny")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2, help="steps in a turn")
    parser.add_argument("--seconds", type=float, default=30, help="how long turns are taken")
    parser.add_argument("--python", default=sys.executable, help="the one that has PyTorch")
    parser.add_argument("--out", help="a JSON file that results are added to")
    parser.add_argument("--table", action="store_true", help="print what --out holds as a table, measure nothing")
    parser.add_argument("--alone", action="store_true", help="demi only")
    parser.add_argument("--profile", help="a trace of demi's step goes to this file, its table to standard error")
    arguments = parser.parse_args()
    print(table(results_of(arguments, arguments.model, measure)))


if __name__ == "__main__":
    main()
