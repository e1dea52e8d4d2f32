"""Forward passes of DINOv2's ViT-S/14 and B/14 (random weights): demi beside PyTorch and, where installed, ONNX
Runtime and OpenVINO, in turns.

    ninja -C build tests/bench_inference
    python3 tests/bench/inference.py build/tests/bench_inference --model small --size 224 --batch 1 --out inference.json
    python3 tests/bench/inference.py --table --out inference.json           # all that was measured so far, as Markdown

All sides stay alive and take a few passes in turn: same weights, images and number of threads; their class tokens must agree.
Medians in ms of a whole batch. demi: the class token (the last block computes nothing else); demi, all tokens: what the others
compute too. PyTorch: eager with scaled_dot_product_attention; --compile adds torch.compile with frozen weights.
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
from train_step import Side, results_of

SIZES = {"small": (384, 6), "base": (768, 12)}  # dim, heads; 12 blocks, patch size 14, positions for 518 pixels


def network(model, size, weights):
    import torch
    from torch import nn
    from torch.nn import functional

    from train_step_peer import read_safetensors

    dim, heads = SIZES[model]
    values = {name: value.clone() for name, value in read_safetensors(weights).items()}

    class Block(nn.Module):
        def __init__(self, at):
            super().__init__()
            prefix = f"blocks.{at}."
            for name, value in values.items():
                if name.startswith(prefix):
                    self.register_parameter(name[len(prefix):].replace(".", "_"), nn.Parameter(value))

        def forward(self, x):
            b, n, _ = x.shape
            y = functional.layer_norm(x, (dim,), self.norm1_weight, self.norm1_bias, 1e-6)
            q, k, v = functional.linear(y, self.attn_qkv_weight, self.attn_qkv_bias).reshape(b, n, 3, heads, dim // heads).permute(2, 0, 3, 1, 4).unbind(0)
            y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, dim)
            x = x + functional.linear(y, self.attn_proj_weight, self.attn_proj_bias) * self.ls1_gamma
            y = functional.layer_norm(x, (dim,), self.norm2_weight, self.norm2_bias, 1e-6)
            y = functional.gelu(functional.linear(y, self.mlp_fc1_weight, self.mlp_fc1_bias))
            return x + functional.linear(y, self.mlp_fc2_weight, self.mlp_fc2_bias) * self.ls2_gamma

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(Block(i) for i in range(12))
            for name in ("cls_token", "norm.weight", "norm.bias", "patch_embed.proj.weight", "patch_embed.proj.bias"):
                self.register_parameter(name.replace(".", "_"), nn.Parameter(values[name]))
            grid = values["pos_embed"][:, 1:].reshape(1, 37, 37, dim).permute(0, 3, 1, 2)
            if size != 518:
                scale = (size // 14 + 0.1) / 37
                grid = functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
            positions = torch.cat([values["pos_embed"][:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, dim)], 1)
            self.positions = nn.Parameter(positions)

        def forward(self, images):
            x = functional.conv2d(images, self.patch_embed_proj_weight, self.patch_embed_proj_bias, 14).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.positions
            for block in self.blocks:
                x = block(x)
            return functional.layer_norm(x, (dim,), self.norm_weight, self.norm_bias, 1e-6)[:, 0]

    return Network().eval()


def peer_main(arguments):
    import torch

    torch.set_num_threads(arguments.threads)
    with open(arguments.data, "rb") as file:
        images = torch.frombuffer(bytearray(file.read()), dtype=torch.float32).reshape(arguments.batch, 3, arguments.size, arguments.size)
    model = network(arguments.model, arguments.size, arguments.weights)
    if arguments.peer == "onnx":
        import onnxruntime

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            torch.onnx.export(model, (images,), path, dynamo=False, input_names=["images"], opset_version=17)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = arguments.threads
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        run = lambda: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    elif arguments.peer == "openvino":
        import openvino

        precision = {"INFERENCE_PRECISION_HINT": arguments.precision, "INFERENCE_NUM_THREADS": arguments.threads, "PERFORMANCE_HINT": "LATENCY"}
        network_of_openvino = openvino.compile_model(openvino.convert_model(model, example_input=images), "CPU", precision)
        run = lambda: torch.from_numpy(network_of_openvino(images.numpy())[0])
    elif arguments.peer == "compiled":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        compiled = torch.compile(model)
        run = lambda: compiled(images)
    elif arguments.precision != "f32":
        half = torch.bfloat16 if arguments.precision == "bf16" else torch.float16
        model, small = model.to(half), images.to(half)
        run = lambda: model(small).float()
    else:
        run = lambda: model(images)
    with torch.no_grad():
        for line in sys.stdin:
            times = []
            for _ in range(int(line.split()[1])):
                start = time.perf_counter()
                features = run()
                times.append((time.perf_counter() - start) * 1e3)
            print(json.dumps({"ms": times, "features": features[0, :4].tolist()}), flush=True)


def measure(arguments):
    with tempfile.TemporaryDirectory() as folder:
        data, weights = os.path.join(folder, "images"), os.path.join(folder, "weights")
        draw = random.Random(1)
        with open(data, "wb") as file:
            array.array("f", (draw.gauss(0, 1) for _ in range(3 * arguments.size**2))).tofile(file)
        with open(data, "rb") as file:
            one = file.read()
        with open(data, "wb") as file:
            file.write(one * arguments.batch)
        program = [arguments.program, arguments.model, str(arguments.size), str(arguments.batch), arguments.precision, data, weights]
        sides = {"demi": (Side(program, {"DEMI_THREADS": str(arguments.threads)}), "class")}
        sides["demi"][0].ask("class 1")
        sides["demi, all tokens"] = (sides["demi"][0], "all")
        installed = lambda module: subprocess.run([arguments.python, "-c", f"import {module}"], capture_output=True).returncode == 0
        peers = ["eager"] + ["compiled"] * arguments.compile
        peers += ["onnx"] * (arguments.precision == "f32" and installed("onnx, onnxruntime")) + ["openvino"] * installed("openvino")
        for peer in peers if not arguments.alone else []:
            command = [arguments.python, os.path.abspath(__file__), "--peer", peer, "--data", data, "--weights", weights]
            for name in ("model", "size", "batch", "precision", "threads"):
                command += [f"--{name}", str(getattr(arguments, name))]
            sides[peer] = (Side(command, {"OMP_NUM_THREADS": str(arguments.threads)}), "all")
        times = {name: [] for name in sides}
        features = {name: side.ask(f"{word} 2")["features"] for name, (side, word) in sides.items()}
        finish = time.perf_counter() + arguments.seconds
        while time.perf_counter() < finish or not times["demi"]:
            for name, (side, word) in sides.items():
                times[name] += side.ask(f"{word} {arguments.passes}")["ms"]
        memory = sides["demi"][0].ask("memory")["peak_rss_kb"] / 1e3
        for side in {id(side): side for side, _ in sides.values()}.values():
            side.close()
    worst = max(abs(a - b) for f in features.values() for a, b in zip(f, features["demi"]))
    return {"threads": arguments.threads, "processor": processor(), "date": time.strftime("%Y-%m-%d"), "peak_mb": memory,
            "ms": {name: statistics.median(t) for name, t in times.items()}, "largest_difference": worst}


def table(results):
    peers = ["demi", "demi, all tokens", "eager", "compiled", "onnx", "openvino"]
    heads = ["demi", "demi, all tokens", "PyTorch eager", "torch.compile, frozen", "ONNX Runtime", "OpenVINO"]
    lines = ["| forward pass, ms | " + " | ".join(heads) + " | largest difference |", "|" + "---|" * (len(heads) + 2)]
    for name, r in results.items():
        cells = [f"{r['ms'][p]:.4g}" if p in r["ms"] else "-" for p in peers]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {r['largest_difference']:.1e} |")
    notes = sorted({f"{r['date']}, {r['threads']} threads of {r['processor']}" for r in results.values()})
    return "\n".join(lines + [""] + notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?")
    parser.add_argument("--model", choices=SIZES, default="small")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", choices=["f32", "bf16", "f16"], default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passes", type=int, default=2, help="passes in a turn")
    parser.add_argument("--seconds", type=float, default=15, help="how long turns are taken")
    parser.add_argument("--python", default=sys.executable, help="the one that has PyTorch")
    parser.add_argument("--compile", action="store_true", help="torch.compile with frozen weights beside it")
    parser.add_argument("--alone", action="store_true", help="demi only")
    parser.add_argument("--out", help="a JSON file that results are added to")
    parser.add_argument("--table", action="store_true", help="print what --out holds as a table, measure nothing")
    for name in ("peer", "data", "weights"):
        parser.add_argument("--" + name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer_main(arguments)
    name = f"{arguments.model[0].upper()}/14, {arguments.size}, batch {arguments.batch}, {arguments.precision}"
    print(table(results_of(arguments, name, measure)))


if __name__ == "__main__":
    main()
