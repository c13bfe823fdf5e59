"""What it costs to translate between words and patches: time and peak memory of a layer, against plain attention.

    python experiments/bench/translated_attention.py --out experiments/results/translated_attention.json

One attention layer, forward and backward, float32, 32 rows of 256 positions (64 words, 192 patches), width 256, heads
of 64, the columns of a crossing among them; `whole`: 64 beside the columns, as pretrained weights need it. Plain and
translated runs take turns; the ratio is the median over the pairs, with its quartiles, of CPU time of one thread, which
other processes of the machine disturb least. Peak memory is that of tensors alive at once in one run, counted by
torch's profiler.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated, get_args

import torch
import typer
from torch.profiler import ProfilerActivity, profile

from shopvl.models.attention import SelfAttention
from shopvl.models.crossing import CrossingName
from shopvl.tracking.provenance import write_result

B, N, WIDTH, WORDS, HEADS = 32, 256, 256, 64, 4
IMAGE = (torch.arange(N) >= WORDS).expand(B, -1)
REAL = torch.ones(B, N, dtype=torch.bool)


def main(out: Annotated[Path, typer.Option()], pairs: int = 41) -> None:
    """Write the ratios as JSON."""
    torch.set_num_threads(1)
    found = {}
    plain = SelfAttention(WIDTH, HEADS)
    cases = [(name, False) for name in get_args(CrossingName)] + [("transe-q", True)]
    for name, whole in cases:
        layer = SelfAttention(WIDTH, HEADS, crossing=name, whole_heads=whole)
        ratios = sorted(_ratio(layer, plain) for _ in range(pairs))
        label = f"{name}, whole" if whole else name
        found[label] = {
            "time": round(statistics.median(ratios), 3),
            "quartiles": [round(ratios[len(ratios) // 4], 3), round(ratios[3 * len(ratios) // 4], 3)],
            "peak_memory": round(_peak(layer) / _peak(plain), 3),
        }
        print(label, found[label], flush=True)
    told = {
        "shape": {"rows": B, "positions": N, "width": WIDTH, "heads": HEADS},
        "pairs": pairs,
        "ratios": found,
    }
    write_result(out, told)


def _ratio(layer: SelfAttention, plain: SelfAttention) -> float:
    """Time of one over time of the other, taken one after the other, in turns twice."""
    first, second = _seconds(layer), _seconds(plain)
    return (first + _seconds(layer)) / (second + _seconds(plain))


def _seconds(layer: SelfAttention) -> float:
    x_BND = torch.randn(B, N, WIDTH, requires_grad=True)
    begun = time.process_time()
    layer(x_BND, image=IMAGE).sum().backward()
    return time.process_time() - begun


def _peak(layer: SelfAttention) -> int:
    """Most bytes allocated at once during a forward and backward pass, beyond what was there before."""
    x_BND = torch.randn(B, N, WIDTH, requires_grad=True)
    layer(x_BND, image=IMAGE).sum().backward()
    layer.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        layer(x_BND, image=IMAGE).sum().backward()
    alive = peak = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak


if __name__ == "__main__":
    typer.run(main)
