"""PyTorch's side of tests/gpu/bench.cpp: the same names, shapes and dtypes; one JSON line each into the file named.

Medians over rounds, timed with CUDA events. DINOv2's shapes: 64 images, 2 large (257 tokens) and 8 small (50) crops.
"""
import json
import statistics
import sys

import torch
import torch.nn.functional as F

DEVICE = "cuda"


def timed(fn, rounds=20, inner=10):
    for _ in range(3):
        fn()
    times = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(inner):
            fn()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / inner)
    return statistics.median(times)


def half(*shape):
    return torch.randn(*shape, device=DEVICE, dtype=torch.float16)


def index_ops(report, name, dim):
    sources = [half(128, 257 * dim), half(512, 50 * dim)]
    rows = [torch.randperm(s.shape[0], device=DEVICE)[: int(s.shape[0] * 0.7)] for s in sources]
    report(f"index_select_cat {name}",
           timed(lambda: torch.cat([s[r].flatten() for s, r in zip(sources, rows)])))
    dy = half(sum(r.numel() * s.shape[1] for s, r in zip(sources, rows)))

    def select_both():
        leaves = [s.detach().requires_grad_() for s in sources]
        torch.cat([s[r].flatten() for s, r in zip(leaves, rows)]).backward(dy)

    report(f"index_select_cat both {name}", timed(select_both))
    singles = [s.float() for s in sources]
    report(f"index_select_cat f32 strict {name}",
           timed(lambda: torch.cat([s.half()[r].flatten() for s, r in zip(singles, rows)]).float()))
    x, source, scaling = half(128, 257, dim), half(rows[0].numel(), 257, dim), half(dim)
    report(f"scaled_index_add {name}",
           timed(lambda: torch.index_add(x, 0, rows[0], source * scaling, alpha=1 / 0.7)))
    dy = half(128, 257, dim)

    def add_both():
        a, b, c = (t.detach().requires_grad_() for t in (x, source, scaling))
        torch.index_add(a, 0, rows[0], b * c, alpha=1 / 0.7).backward(dy)

    report(f"scaled_index_add both {name}", timed(add_both))
    x32, source32, scaling32 = x.float(), source.float(), scaling.float()
    report(f"scaled_index_add f32 strict {name}",
           timed(lambda: torch.index_add(x32.half(), 0, rows[0], source32.half() * scaling32.half(),
                                         alpha=1 / 0.7).float()))


def attention(report, name, heads):
    for tokens, batch, kind in [(257, 64, "dense 257"), (1024, 16, "dense 1024")]:
        q, k, v = (half(batch, heads, tokens, 64).requires_grad_() for _ in range(3))
        report(f"attention forward {name} {kind}",
               timed(lambda: F.scaled_dot_product_attention(q, k, v)))
        g = half(batch, heads, tokens, 64)

        def both():
            F.scaled_dot_product_attention(q, k, v).backward(g)
            q.grad = k.grad = v.grad = None

        report(f"attention both {name} {kind}", timed(both))
    # Crops packed without padding on our side; padded to the longest here, with a mask.
    lengths = [257] * 16 + [50] * 64
    q, k, v = (half(len(lengths), heads, 257, 64).requires_grad_() for _ in range(3))
    seen = torch.arange(257, device=DEVICE)[None, :] < torch.tensor(lengths, device=DEVICE)[:, None]
    mask = seen[:, None, None, :]
    report(f"attention forward {name} packed",
           timed(lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))
    g = half(len(lengths), heads, 257, 64)

    def both_padded():
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask).backward(g)
        q.grad = k.grad = v.grad = None

    report(f"attention both {name} packed", timed(both_padded))


class Block(torch.nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (torch.nn.LayerNorm(dim, eps=1e-6) for _ in range(2))
        self.qkv, self.proj = torch.nn.Linear(dim, 3 * dim), torch.nn.Linear(dim, dim)
        self.fc1, self.fc2 = torch.nn.Linear(dim, 4 * dim), torch.nn.Linear(4 * dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViT(torch.nn.Module):
    def __init__(self, dim=384, heads=6, depth=12, patch=16, classes=1000):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, dim, patch, patch)
        self.cls = torch.nn.Parameter(torch.zeros(1, 1, dim))
        self.pos = torch.nn.Parameter(torch.zeros(1, 197, dim))
        self.blocks = torch.nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm, self.head = torch.nn.LayerNorm(dim, eps=1e-6), torch.nn.Linear(dim, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


def training(report):
    model = ViT().to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    scaler = torch.amp.GradScaler("cuda")
    images = torch.randn(64, 3, 224, 224, device=DEVICE)
    labels = torch.arange(64, device=DEVICE) * 7 % 1000

    def step():
        with torch.autocast("cuda", dtype=torch.float16):
            loss = F.cross_entropy(model(images), labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    report("training step ViT-S/16 f16, batch 64", timed(step, rounds=10, inner=1))


def main():
    torch.backends.cuda.matmul.allow_tf32 = False
    with open(sys.argv[1], "w", encoding="utf-8") as out:

        def report(name, ms):
            print(json.dumps({"name": name, "ms": ms}), file=out, flush=True)
            print(f"{name}: {ms:.3f} ms", flush=True)

        for name, dim in [("S", 384), ("B", 768), ("L", 1024)]:
            index_ops(report, name, dim)
            attention(report, name, dim // 64)
            x = half(16448, dim)
            w, b = half(dim), half(dim)
            report(f"layernorm {name}", timed(lambda: F.layer_norm(x, (dim,), w, b, 1e-6)))
        training(report)


main()
