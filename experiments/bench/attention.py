"""What our block costs beside one written directly on torch's kernels with the same weights, and what a cache saves.

    python experiments/bench/attention.py --out experiments/results/attention.json

Forward and backward of one block, float32, 16 rows, width 256, 4 heads, at the lengths of a title, of both inputs, and
of a large picture. Both take turns; the ratio is the median over the pairs, with its quartiles, of the CPU time of one
thread, which other processes disturb least. `causal` and `causal, padding last` stand beside torch's own causal kernel.
Writing: 24 words after a line of 16, with cached keys and values and without, 4 blocks, 8 rows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from shopvl.models.attention import Block, Encoder
from shopvl.models.sight import Sight
from shopvl.tracking.provenance import write_result

B, WIDTH, HEADS = 16, 256, 4
LENGTHS = (24, 96, 256)
ROWS, BEGUN, WRITTEN, LAYERS = 8, 16, 24, 4
Run = Callable[[], object]


def main(out: Annotated[Path, typer.Option()], pairs: int = 21) -> None:
    """Write the ratios as JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = {}
    for length in LENGTHS:
        whole = torch.ones(B, length, dtype=torch.bool)
        ends = torch.arange(length) < torch.randint(length // 2, length + 1, (B, 1))
        for name, sight, sees, causal in (
            ("bidirectional", Sight(), None, False),
            ("bidirectional, padded", Sight(ends), ends[:, None, None, :], False),
            ("causal", Sight.causal(whole), None, True),
            ("causal, padding last", Sight.causal(ends), None, True),
        ):
            block, x_BND = Block(WIDTH, HEADS), torch.randn(B, length, WIDTH, requires_grad=True)
            runs = (
                lambda block=block, x_BND=x_BND, sight=sight: block(x_BND, sight),
                lambda block=block, x_BND=x_BND, sees=sees, causal=causal: on_kernels(block, x_BND, sees, causal),
            )
            torch.testing.assert_close(*(run() for run in runs))
            found[f"{name}, {length}"] = compared(*(backward(run) for run in runs), pairs)
            print(name, length, found[f"{name}, {length}"], flush=True)
    found["writing, cached over uncached"] = compared(*writing(), max(3, pairs // 4))
    told = {"shape": {"rows": B, "width": WIDTH, "heads": HEADS}, "pairs": pairs, "ratios": found}
    print(found["writing, cached over uncached"])
    write_result(out, told)


def on_kernels(block: Block, x_BND: Tensor, sees: Tensor | None, causal: bool) -> Tensor:
    """The same block in six lines."""
    q, k, v = block.attention.qkv(block.norm_attention(x_BND)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=sees, is_causal=causal)
    x_BND = x_BND + block.attention.out(mixed.transpose(1, 2).flatten(2))
    return x_BND + block.mlp(block.norm_mlp(x_BND))


def backward(run: Callable[[], Tensor]) -> Run:
    """Its sum's gradients as well."""
    return lambda: run().sum().backward()


@torch.inference_mode()
def writing() -> tuple[Run, Run]:
    """The states of words one after the other: each by itself after what is cached, and the line anew for each."""
    encoder = Encoder(LAYERS, WIDTH, HEADS).eval()
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


def compared(run: Run, other: Run, pairs: int) -> dict[str, object]:
    """Time of one over time of the other: in turns twice, the median of the pairs, and its quartiles."""
    seconds(run), seconds(other)
    ratios = []
    for _ in range(pairs):
        first, second = seconds(run), seconds(other)
        ratios.append((seconds(run) + first) / (seconds(other) + second))
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"time": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}


def seconds(run: Run) -> float:
    """CPU time."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


if __name__ == "__main__":
    typer.run(main)
