"""What our block costs beside others with the same weights, and what a cache saves.

    python experiments/bench/attention.py --out experiments/results/attention.json

Forward and backward of one block, float32, 8 rows, width 256, 4 heads, at the lengths of a title, of both inputs, and
of a larger picture. `bidirectional` stands beside the block of before there were sights, which is read from the
repository's history, `causal` beside one written directly on torch's own causal kernel. Both take turns; a ratio is the
median over the pairs, with its quartiles, of the processor time of one thread, and of the time on the wall. Writing: 24
words after a line of 16, with cached keys and values and without, 4 blocks, 8 rows.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from shopvl.models.attention import Block, BlockSettings, Encoder
from shopvl.models.sight import Sight
from shopvl.tracking.provenance import write_result

B, WIDTH, HEADS = 8, 256, 4
LENGTHS = (24, 96, 192)
FORMER = "179204e^"  # the last commit without sights
ROWS, BEGUN, WRITTEN, LAYERS = 8, 16, 24, 4
Run = Callable[[], object]
Pairs = Annotated[int, typer.Option(min=2, help="Turns of both; quartiles take at least two.")]


def main(out: Annotated[Path, typer.Option()], pairs: Pairs = 21) -> None:
    """Write the ratios as JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found, before = {}, former()
    for length in LENGTHS:
        whole = torch.ones(B, length, dtype=torch.bool)
        ends = torch.arange(length) < torch.randint(length // 2, length + 1, (B, 1))
        block, x_BND = Block(BlockSettings(WIDTH, HEADS)), torch.randn(B, length, WIDTH, requires_grad=True)
        old = before.Block(WIDTH, HEADS)
        old.load_state_dict(block.state_dict())
        for name, sight, other in (
            ("bidirectional", Sight(), lambda old=old, x_BND=x_BND: old(x_BND)),
            ("bidirectional, padded", Sight(ends), lambda old=old, x_BND=x_BND, ends=ends: old(x_BND, ends)),
            ("causal", Sight.causal(whole), lambda block=block, x_BND=x_BND: on_kernel(block, x_BND)),
            ("causal, padding last", Sight.causal(ends), lambda block=block, x_BND=x_BND: on_kernel(block, x_BND)),
        ):
            run = partial(block.__call__, x_BND, sight)
            torch.testing.assert_close(run(), other())
            found[f"{name}, {length}"] = compared(backward(run), backward(other), pairs)
            print(name, length, found[f"{name}, {length}"], flush=True)
    cached, uncached = writing()
    found["writing, cached over uncached"] = compared(cached, uncached, max(3, pairs // 4))
    told = {
        "shape": {"rows": B, "width": WIDTH, "heads": HEADS},
        "beside": {"bidirectional": f"the block of {FORMER}", "causal": "torch's causal kernel"},
        "pairs": pairs,
        "ratios": found,
    }
    print(found["writing, cached over uncached"])
    write_result(out, told)


def former() -> ModuleType:
    """The module of attention as it was, by git."""
    name = "shopvl/models/attention.py"
    root = Path(__file__).parents[2]
    told = subprocess.run(["git", "show", f"{FORMER}:{name}"], cwd=root, capture_output=True, text=True, check=True)
    module = ModuleType("former_attention")
    sys.modules[module.__name__] = module  # its dataclasses look themselves up there
    exec(compile(told.stdout, name, "exec"), module.__dict__)
    return module


def on_kernel(block: Block, x_BND: Tensor) -> Tensor:
    """The same block in six lines."""
    q, k, v = block.attention.qkv(block.norm_attention(x_BND)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    x_BND = x_BND + block.attention.out(mixed.transpose(1, 2).flatten(2))
    return x_BND + block.mlp(block.norm_mlp(x_BND))


def backward(run: Callable[[], Tensor]) -> Run:
    """Its sum's gradients as well."""
    return lambda: run().sum().backward()


@torch.inference_mode()
def writing() -> tuple[Run, Run]:
    """The states of words one after the other: each by itself after what is cached, and the line anew for each."""
    encoder = Encoder(LAYERS, BlockSettings(WIDTH, HEADS)).eval()
    line = torch.randn(ROWS, BEGUN + WRITTEN, WIDTH)
    real = torch.ones(line.shape[:2], dtype=torch.bool)

    @torch.inference_mode()
    def cached() -> None:
        _, cache = encoder.read(line[:, :BEGUN], Sight.causal(real[:, :BEGUN]))
        for place in range(BEGUN, BEGUN + WRITTEN):
            _, cache = encoder.read(line[:, place : place + 1], cache=cache)

    @torch.inference_mode()
    def uncached() -> None:
        for end in range(BEGUN, BEGUN + WRITTEN + 1):
            encoder(line[:, :end], Sight.causal(real[:, :end]))

    return cached, uncached


def compared(run: Run, other: Run, pairs: int) -> dict[str, dict[str, object]]:
    """Time of one over time of the other: in turns twice, the median of the pairs, and its quartiles."""
    seconds(run), seconds(other)
    ratios: dict[str, list[float]] = {"processor": [], "wall": []}
    for _ in range(pairs):
        own, others = seconds(run), seconds(other)
        own, others = own + seconds(run), others + seconds(other)
        for kind, ratio in zip(ratios, (own / others).tolist(), strict=True):
            ratios[kind].append(ratio)
    found = {}
    for kind, numbers in ratios.items():
        low, middle, high = statistics.quantiles(numbers, n=4)
        found[kind] = {"ratio": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}
    return found


def seconds(run: Run) -> Tensor:
    """Of the processor, and on the wall."""
    begun = time.process_time(), time.perf_counter()
    run()
    return torch.tensor([time.process_time() - begun[0], time.perf_counter() - begun[1]], dtype=torch.double)


if __name__ == "__main__":
    typer.run(main)
