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
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

CASES = {  # name: (model, batch, boundary, kind of peer)
    "tiny": ("tiny", 64, "off", "plain"),
    "tiny-b1": ("tiny", 1, "off", "plain"),
    "tiny-fp16-ops": ("tiny", 64, "strict", "plain"),
    "small": ("small", 8, "off", "plain"),
    "small-fp16-ops": ("small", 8, "strict", "plain"),
    "nested": ("nested", 2, "strict", "casts"),
    "nested-no-casts": ("nested", 2, "off", "plain"),
}
TITLES = {
    "tiny": "ViT-Tiny, 32², patch 4, batch 64",
    "tiny-b1": "ViT-Tiny, batch 1",
    "tiny-fp16-ops": "ViT-Tiny, batch 64, fp16 attention in place",
    "small": "ViT-S/16, 224², batch 8",
    "small-fp16-ops": "ViT-S/16, batch 8, fp16 attention in place",
    "nested": "DINOv2 nested, S/16, 4 × 224² + 16 × 96², three fp16 operators in place",
    "nested-no-casts": "DINOv2 nested, all f32, no casts on either side",
}
SIZES = {"tiny": (192, 12, 3, 4, 10), "small": (384, 12, 6, 16, 1000), "nested": (384, 12, 6, 16, 1000)}  # dim depth heads patch classes


def image_shapes(model, batch):
    if model == "tiny":
        return [(batch, 3, 32, 32)]
    return [(batch, 3, 224, 224)] if model == "small" else [(2 * batch, 3, 224, 224), (8 * batch, 3, 96, 96)]


def kept_rows(batch, model):
    return max(int(batch * 0.7), 1) if model == "nested" else batch


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


# ---- the peer ------------------------------------------------------------------------------------------------------------------------
def read_safetensors(path):
    import torch

    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        data = file.read()
    return {name: torch.frombuffer(bytearray(data[slice(*x["data_offsets"])]), dtype=torch.float32).reshape(x["shape"])
            for name, x in header.items() if name != "__metadata__"}


def make_peer(model, casts):
    import torch
    from torch import nn
    from torch.nn import functional

    dim, depth, heads, patch, classes = SIZES[model]
    nested = model == "nested"

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

        def forward(self, x):
            b, n, _ = x.shape
            q, k, v = self.qkv(x).reshape(b, n, 3, heads, dim // heads).permute(2, 0, 3, 1, 4).unbind(0)
            if casts:
                y = functional.scaled_dot_product_attention(q.half(), k.half(), v.half()).to(x.dtype)
            else:
                y = functional.scaled_dot_product_attention(q, k, v)
            return self.proj(y.transpose(1, 2).reshape(b, n, dim))

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

        def forward(self, x):
            return self.fc2(functional.gelu(self.fc1(x)))

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
            self.attn, self.mlp = Attention(), Mlp()
            if nested:
                self.ls1, self.ls2 = Scale(), Scale()

        def add_on_subset(self, x, branch, gamma):
            batch = x.shape[0]
            kept = kept_rows(batch, model)
            index = torch.randperm(batch)[:kept]
            if casts:
                residual = branch(x.half().index_select(0, index).to(x.dtype)) * gamma
                return torch.index_add(x.half().flatten(1), 0, index, residual.half().flatten(1), alpha=batch / kept).to(x.dtype).view_as(x)
            residual = branch(x.index_select(0, index)) * gamma
            return torch.index_add(x.flatten(1), 0, index, residual.flatten(1), alpha=batch / kept).view_as(x)

        def forward(self, x):
            if nested:
                x = self.add_on_subset(x, lambda s: self.attn(self.norm1(s)), self.ls1.gamma)
                return self.add_on_subset(x, lambda s: self.mlp(self.norm2(s)), self.ls2.gamma)
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Embed(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Conv2d(3, dim, patch, patch)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            side = (32 if model == "tiny" else 224) // patch
            self.patch_embed = Embed()
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
            self.pos_embed = nn.Parameter(torch.zeros(1, side * side + 1, dim))
            self.mask_token = nn.Parameter(torch.zeros(1, dim))
            self.blocks = nn.ModuleList(Block() for _ in range(depth))
            self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, classes)
            self.side = side

        def positions(self, side):
            if side == self.side:
                return self.pos_embed
            grid = self.pos_embed[:, 1:].reshape(1, self.side, self.side, dim).permute(0, 3, 1, 2)
            scale = (side + 0.1) / self.side
            grid = functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
            return torch.cat([self.pos_embed[:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, dim)], 1)

        def forward(self, images):
            x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.positions(images.shape[2] // patch)
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x)[:, 0])

    return Network()


def peak_rss_kb():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def peer_main(arguments):
    import torch
    from torch.nn import functional

    torch.set_num_threads(arguments.threads)
    model, batch, _, kind = CASES[arguments.model]
    idle = peak_rss_kb()
    network = make_peer(model, kind == "casts")
    network.load_state_dict({name: value.reshape(network.get_parameter(name).shape) for name, value in read_safetensors(arguments.weights).items()})
    images, offset = [], 0
    with open(arguments.data, "rb") as file:
        raw = file.read()
    for shape in image_shapes(model, batch):
        count = shape[0] * shape[1] * shape[2] * shape[3] * 4
        images.append(torch.frombuffer(bytearray(raw[offset:offset + count]), dtype=torch.float32).reshape(shape))
        offset += count
    del raw
    labels = [torch.arange(x.shape[0]) * 7 % SIZES[model][4] for x in images]
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, weight_decay=0.05, fused=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "steps":
            times = []
            for _ in range(int(words[1])):
                start = time.perf_counter()
                loss = sum(functional.cross_entropy(network(x), y) for x, y in zip(images, labels))
                value = loss.item()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                times.append((time.perf_counter() - start) * 1e3)
            print(json.dumps({"ms": times, "loss": value}), flush=True)
        else:
            print(json.dumps({"peak_rss_kb": peak_rss_kb(), "idle_rss_kb": idle, "version": torch.__version__}), flush=True)


# ---- the driver ----------------------------------------------------------------------------------------------------------------------
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
        import random

        draw = random.Random(1)
        with open(data, "wb") as file:
            import array

            for shape in image_shapes(model, batch):
                block = array.array("f", (draw.gauss(0, 1) for _ in range(3 * shape[2] * shape[3])))
                for _ in range(shape[0]):  # every image another rotation of the same noise
                    cut = draw.randrange(len(block))
                    (block[cut:] + block[:cut]).tofile(file)
        threads = {"DEMI_THREADS": str(arguments.threads)}
        own = Side([arguments.program, model, str(batch), boundary, data, weights], threads)
        own.steps(1, False)
        sides = {"demi": own}
        command = [arguments.python, os.path.abspath(__file__), "--peer", "--model", arguments.model, "--data", data, "--weights", weights,
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
        "threads": arguments.threads, "gflop": flops / 1e9, "gflops": rate / 1e9, "bandwidth": bandwidth / 1e9,
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
    return "\n".join(lines)


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
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer_main(arguments)
    results = {}
    if arguments.out and os.path.exists(arguments.out):
        with open(arguments.out) as file:
            results = json.load(file)
    if not arguments.table:
        result = results[arguments.model] = measure(arguments)
        print(json.dumps(result, indent=1), file=sys.stderr)
        if arguments.out:
            with open(arguments.out, "w") as file:
                json.dump(results, file, indent=1)
    print(table(results))


if __name__ == "__main__":
    main()
