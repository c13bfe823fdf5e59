"""The image towers of a model learn to make of a picture with promotions what they made without.

    python experiments/shipped/resist_promotions.py runs/model/ensemble --rows runs/model/outside.parquet \
        --out runs/model/resistant

A copy of the towers that changes no more is the teacher and sees each picture as it is; the towers that learn see it
under promotions (`data.augment`), through the same window (a denoising autoencoder whose targets are features:
arXiv:2202.03555 hides patches where this draws). No label is used, so every picture of the rows teaches; what reads the
towers stays as it was, until it is fitted anew. A killed run goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import io
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from shopvl.catalog.images import decode
from shopvl.data.augment import add_promotion_overlay
from shopvl.design.design import Design
from shopvl.models.momentum import ema_update
from shopvl.models.two_crop import center_crop
from shopvl.training.schedule import rate
from shopvl.vision.transforms import random_crop, to_pixels

STEPS, BATCH = 1500, 96
PEAK_LR, WARMUP, DECAY = 2e-4, 0.05, 0.99
DRAWN = 0.75  # of the pictures have promotions; the others hold what is known of plain ones
PAINTED_OUT = 0.45  # of the promotions, as with OCR
LARGE = 0.6  # of the pictures are at least LARGE_PX on their longer side, where letters are legible
LARGE_PX = 128
CELLS, ANSWERS = 0.2, 3.0  # weights; the cells cannot all know what a plate covers
SAVE_EVERY = 50


class DrawnPictures(Dataset[tuple[Tensor, Tensor]]):
    """Step number -> the pixels of BATCH pictures as they are and under promotions, (B, 3, Y, X) in [0, 1] each."""

    def __init__(self, pictures: Sequence[Sequence[bytes]], size_px: tuple[int, int], seed: int) -> None:
        self.pictures, self.size_px, self.seed = pictures, size_px, seed

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = random.Random(f"{self.seed} {step}")
        small, large = self.pictures
        pairs = [self._pair(rng.choice(large if rng.random() < LARGE else small), rng) for _ in range(BATCH)]
        plain, drawn = (torch.stack(side).float().div_(255) for side in zip(*pairs, strict=True))
        return plain, drawn

    def _pair(self, encoded: bytes, rng: random.Random) -> tuple[Tensor, Tensor]:
        picture = decode(encoded, at_least_px=2 * LARGE_PX)
        drawn = add_promotion_overlay(picture, rng, PAINTED_OUT) if rng.random() < DRAWN else picture
        crop = random_crop(rng, 0.15, flip=True)
        plain, under = (torch.from_numpy(to_pixels(side, self.size_px, crop).copy()) for side in (picture, drawn))
        return plain, under


def resist(design: Design, pictures: Sequence[Sequence[bytes]], folder: Path, steps: int, seed: int = 0) -> None:
    """Train the image tower of `design`; its weights afterwards are their own moving average."""
    tower, readers = design.model.image_tower, design.model.head
    crop_share = _without_second_look(tower)
    teacher = copy.deepcopy(tower).eval().requires_grad_(False)
    average = copy.deepcopy(tower).requires_grad_(False)
    tower.eval()  # batch norms keep their statistics: those of plain pictures
    optimizer = torch.optim.AdamW(tower.parameters(), lr=PEAK_LR, weight_decay=0.0)
    first = _resume(folder, tower, average, optimizer)
    loader = DataLoader(
        DrawnPictures(pictures, design.loader.size_px, seed),
        batch_size=None,
        sampler=itertools.islice(itertools.count(first), steps - first),
        num_workers=1,
        prefetch_factor=4,
    )
    spread_W, spreads = _spreads(teacher, pictures, design.loader.size_px, crop_share)
    with tqdm(total=steps, initial=first) as bar:
        for step, (plain, drawn) in enumerate(loader, first):
            if step % 2:  # the second look of use
                plain, drawn = center_crop(plain, crop_share), center_crop(drawn, crop_share)
            for group in optimizer.param_groups:
                group["lr"] = PEAK_LR * rate(step / steps, WARMUP)
            with torch.no_grad():
                wanted = teacher.encode(plain)
            made = tower.encode(drawn)
            loss, answers = _loss(made, wanted, spread_W, spreads), _answers_apart(made[0], wanted[0], readers)
            optimizer.zero_grad(set_to_none=True)
            (loss + ANSWERS * answers).backward()
            nn.utils.clip_grad_norm_(tower.parameters(), 5.0)
            optimizer.step()
            ema_update(average, tower, min(DECAY, (1 + step) / (10 + step)))
            bar.set_postfix(features=f"{loss.item():.4f}", answers=f"{answers.item():.4f}")
            bar.update()
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
                _save(folder, tower, average, optimizer, step + 1)
    tower.load_state_dict(average.state_dict())
    for one in _towers(tower):
        one.crop_share = crop_share


def _towers(tower: nn.Module) -> list[nn.Module]:
    return list(getattr(tower, "towers", [tower]))


def _without_second_look(tower: nn.Module) -> float:
    """The share of the towers' second look, which they no longer take."""
    (share,) = {one.crop_share for one in _towers(tower)}
    for one in _towers(tower):
        one.crop_share = None
    return float(share)


@torch.no_grad()
def _spreads(
    teacher: nn.Module, pictures: Sequence[Sequence[bytes]], size_px: tuple[int, int], crop_share: float
) -> tuple[Tensor, list[Tensor]]:
    """Standard deviations of the teacher's vectors (W,) and of each map's cells (C,), over 512 pictures."""
    rng = random.Random(0)
    chosen = [rng.choice(pictures[number % 2]) for number in range(512)]
    pixels = torch.stack([torch.from_numpy(to_pixels(decode(one), size_px).copy()) for one in chosen]).float() / 255
    encoded = [teacher.encode(part) for part in pixels.split(64)]
    vectors_NW = torch.cat([pooled for pooled, _ in encoded])
    maps = [torch.cat(parts).flatten(0, 1) for parts in zip(*(cells for _, cells in encoded), strict=True)]
    return vectors_NW.std(0).clamp(min=1e-3), [cells.std(0).clamp(min=1e-3) for cells in maps]


def _loss(
    made: tuple[Tensor, list[Tensor]], wanted: tuple[Tensor, list[Tensor]], spread_W: Tensor, spreads: list[Tensor]
) -> Tensor:
    """Mean squared differences in standard deviations, of vectors and cells."""
    whole = ((made[0] - wanted[0]) / spread_W).square().mean()
    cells = [
        ((own - other) / spread_C).square().mean()
        for own, other, spread_C in zip(made[1], wanted[1], spreads, strict=True)
    ]
    return whole + CELLS * torch.stack(cells).mean()


def _answers_apart(made_BW: Tensor, wanted_BW: Tensor, head: nn.Module) -> Tensor:
    """Squared differences of what the head's linear terms say of each answer, in standard deviations of the batch."""
    terms = (head.image_linear, head.image_linear_with_title)
    parts = []
    for term in terms:
        wanted_BK, made_BK = term(wanted_BW, None), term(made_BW, None)
        parts.append(((made_BK - wanted_BK).square().mean(0) / wanted_BK.var(0).clamp(min=1e-3)).mean())
    return torch.stack(parts).mean()


def _checkpoint(folder: Path) -> Path:
    return folder / "checkpoint.pt"


def _save(folder: Path, tower: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {"tower": tower, "average": average, "optimizer": optimizer}
    part = _checkpoint(folder).with_suffix(".part")
    torch.save({name: one.state_dict() for name, one in state.items()} | {"step": step}, part)
    part.replace(_checkpoint(folder))


def _resume(folder: Path, tower: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """The step to go on from."""
    if not _checkpoint(folder).is_file():
        return 0
    state = torch.load(_checkpoint(folder), weights_only=True)
    for name, one in (("tower", tower), ("average", average), ("optimizer", optimizer)):
        one.load_state_dict(state[name])
    return int(state["step"])


def pictures_of(table: Path) -> tuple[list[bytes], list[bytes]]:
    """The small and the large pictures of the training rows, each once."""
    rows = pl.scan_parquet(table).filter(pl.col("split") == "train")
    encoded = rows.select(pl.col("image").struct.field("bytes")).unique().drop_nulls().collect()["bytes"].to_list()
    sizes: tuple[list[bytes], list[bytes]] = ([], [])
    for one in sorted(encoded):
        sizes[max(Image.open(io.BytesIO(one)).size) >= LARGE_PX].append(one)
    return sizes


def main() -> None:
    """Read one, write one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="Of the steps.")
    args = parser.parse_args()
    design = Design.from_pretrained(args.model)
    resist(
        design, pictures_of(args.rows), args.out.with_name(f"{args.out.name}-run"), max(1, round(args.share * STEPS))
    )
    design.save(args.out)


if __name__ == "__main__":
    main()
