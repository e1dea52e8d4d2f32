"""The PyTorch side of train_step.py and scaling.py, which start it: takes "steps N" and "report" from standard input, answers in
JSON. With --distribute it is one of the ranks of torch.distributed.run (gloo) and takes its commands from --commands.
"""
import argparse
import json
import sys
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
SIZES = {"tiny": (192, 12, 3, 4, 10), "small": (384, 12, 6, 16, 1000), "nested": (384, 12, 6, 16, 1000)}  # dim depth heads patch classes


def image_shapes(model, batch):
    if model == "tiny":
        return [(batch, 3, 32, 32)]
    return [(batch, 3, 224, 224)] if model == "small" else [(2 * batch, 3, 224, 224), (8 * batch, 3, 96, 96)]


def kept_rows(batch, model):
    return max(int(batch * 0.7), 1) if model == "nested" else batch


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


def distributed(kind, network, images, labels):
    """The network for this rank, its part of the batch, and whether it is rank 0."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    if kind == "ddp":
        # What DDP does not use in a step it waits for in vain: the mask token.
        network.mask_token.requires_grad_(False)
        network = torch.nn.parallel.DistributedDataParallel(network)
    else:
        from torch.distributed.fsdp import fully_shard

        for block in network.blocks:
            fully_shard(block, reshard_after_forward=kind == "fsdp2-full")
        fully_shard(network, reshard_after_forward=kind == "fsdp2-full")
    return network, [x.chunk(size)[rank].clone() for x in images], [y.chunk(size)[rank] for y in labels], rank == 0


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
    first = True
    if arguments.distribute:
        network, images, labels, first = distributed(arguments.distribute, network, images, labels)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, weight_decay=0.05, fused=True)
    for line in arguments.commands.split(",") if arguments.commands else sys.stdin:
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
            if first:
                print(json.dumps({"ms": times, "loss": value}), flush=True)
        elif first:
            print(json.dumps({"peak_rss_kb": peak_rss_kb(), "idle_rss_kb": idle, "version": torch.__version__}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=CASES, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--distribute", choices=["ddp", "fsdp2", "fsdp2-full"])
    parser.add_argument("--commands", help="instead of standard input, with commas between them")
    peer_main(parser.parse_args())


if __name__ == "__main__":
    main()
