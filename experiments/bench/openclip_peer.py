"""The peer of the quality race: open_clip trained from scratch on the same rows, for the same minutes and cores.

    python experiments/bench/openclip_peer.py --data $SHOPVL_DATA/fashion-products-small.parquet --out runs/openclip \\
        --minutes 20 --threads 2

The model is what an open_clip user would write down for small pictures: timm's `resnet10t` and a 3-layer causal text
transformer behind open_clip's own CLIP class, tokenizer and ClipLoss. Where open_clip leaves a choice, the faster or
the better one was taken: pictures decoded before the clock starts, channels-last convolutions, fused AdamW, open_clip's
weight decay groups, the learning rate that did best in short trials, a cosine over the minutes given, and a token table
that leaves out the rows no title of the data uses (such rows never see a gradient, so nothing else changes).

Only optimisation steps count against the minutes; decoding, checkpoints and the final encoding do not. An interrupted
run resumes from its last checkpoint. Written at the end: `image_test.npy` and `title_test.npy` (unit length, rows in
the order of the file), `image_train_features.npy` and `image_test_features.npy` (before the projection, for linear
probes) and `info.json`. `score_embeddings.py` turns the folder into figures.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch import Tensor, nn

import shopvl  # noqa: F401  # before open_clip: it mends the torchvision import

# isort: split
import open_clip

HEIGHT_PX, WIDTH_PX, SHIFT_PX = 80, 60, 4
CONTEXT = 24  # tokens; the longest title of 99.8% of the rows fits
CONFIG: dict[str, Any] = {
    "embed_dim": 256,
    "vision_cfg": {
        "timm_model_name": "resnet10t",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": (HEIGHT_PX, WIDTH_PX),
    },
    "text_cfg": {"context_length": CONTEXT, "width": 256, "heads": 4, "layers": 3},
}
CHECKPOINT_EVERY_S = 120.0


def decode(images: list[dict[str, Any]], folder: Path) -> Tensor:
    """Picture structs -> (N, 3, Y, X) uint8, all in memory."""

    def one(image: dict[str, Any]) -> np.ndarray:
        source = io.BytesIO(image["bytes"]) if image.get("bytes") else folder / image["path"]
        with Image.open(source) as picture:
            rgb = picture.convert("RGB")
            rgb = (
                rgb
                if rgb.size == (WIDTH_PX, HEIGHT_PX)
                else rgb.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BICUBIC)
            )
            return np.asarray(rgb).transpose(2, 0, 1)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return torch.from_numpy(np.stack(list(pool.map(one, images))))


def tokenize(titles: list[str]) -> tuple[Tensor, int]:
    """open_clip's own token ids without gaps, (N, T), and their number. Padding stays 0, the end stays highest."""
    ids = open_clip.SimpleTokenizer(context_length=CONTEXT)(titles)
    used, compact = torch.cat([torch.zeros(1, dtype=ids.dtype), ids.flatten()]).unique(return_inverse=True)
    return compact[1:].view_as(ids), len(used)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 -> float32 as open_clip normalises it, channels last in memory."""
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD).view(1, 3, 1, 1)
    return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """A shift of up to 4 px (the border is repeated) and a flip, drawn per picture."""
    batch = len(pixels)
    padded = nn.functional.pad(pixels.float(), (SHIFT_PX,) * 4, mode="replicate").to(torch.uint8)
    dy, dx = torch.randint(0, 2 * SHIFT_PX + 1, (2, batch), generator=generator)
    rows = dy[:, None] + torch.arange(HEIGHT_PX)
    columns = dx[:, None] + torch.arange(WIDTH_PX)
    flip = torch.rand(batch, generator=generator) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    at = torch.arange(batch)[:, None, None]
    return padded[at, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def weight_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """open_clip's rule: no decay for gains, biases and the temperature."""
    plain, decayed = list[Tensor](), list[Tensor]()
    for name, weight in model.named_parameters():
        spared = weight.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name
        (plain if spared else decayed).append(weight)
    return [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": decay}]


def batches(rows: int, size: int, seed: int, first_step: int) -> Iterator[Tensor]:
    """Row numbers, shuffled anew each epoch, from any step on (so that a resumed run goes on where it was)."""
    per_epoch = rows // size
    step = first_step
    while True:
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed * 100_003 + step // per_epoch))
        for at in range(step % per_epoch, per_epoch):
            yield order[at * size : (at + 1) * size]
            step += 1


def train(model: nn.Module, pixels: Tensor, ids: Tensor, args: argparse.Namespace) -> dict[str, Any]:
    """Step until the minutes are over; returns what there is to know about the run."""
    groups = weight_groups(model, args.decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)
    loss_of, budget_s = open_clip.ClipLoss(), args.minutes * 60
    step, spent_s, running, saved_s = 0, 0.0, math.nan, 0.0
    kept = args.out / "checkpoint.pt"
    settings = {name: getattr(args, name) for name in ("minutes", "lr", "decay", "batch", "seed", "threads", "bf16")}
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        if state["settings"] != settings:
            raise SystemExit(f"{kept} was made with {state['settings']}; give another --out or delete it")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent_s, running = state["step"], state["spent_s"], state["loss"]
        saved_s = spent_s
        print(f"resumed at step {step}, {spent_s / 60:.1f} minutes spent", flush=True)

    def save() -> None:
        parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "settings": settings}
        torch.save(parts | {"step": step, "spent_s": spent_s, "loss": running}, kept.with_suffix(".part"))
        os.replace(kept.with_suffix(".part"), kept)

    model.train()
    for rows in batches(len(pixels), args.batch, args.seed, step):
        if spent_s >= budget_s:
            break
        started = time.perf_counter()
        share = spent_s / budget_s
        lr = args.lr * min(share / args.warmup, 0.5 + 0.5 * math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = max(lr, args.lr * 1e-3)
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        seen = normalise(augment(pixels[rows], generator))
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            image, text, scale = model(seen, ids[rows])
        loss = loss_of(image.float(), text.float(), scale.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        step += 1
        running = loss.item() if math.isnan(running) else 0.95 * running + 0.05 * loss.item()
        spent_s += time.perf_counter() - started
        if step % 20 == 0:
            speed = step * args.batch / spent_s
            print(f"step {step}  {spent_s / 60:5.2f} min  loss {running:.3f}  {speed:.0f} images/s", flush=True)
        if spent_s - saved_s > CHECKPOINT_EVERY_S:
            saved_s = spent_s
            save()
    save()
    images = step * args.batch
    return {
        "steps": step,
        "epochs": round(images / len(pixels), 3),
        "wall_s": round(spent_s, 1),
        "images_per_s": round(images / spent_s, 1),
        "last_loss": round(running, 4),
        "scale": round(model.logit_scale.exp().item(), 2),
    }


@torch.inference_mode()
def encode(model: nn.Module, pixels: Tensor, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Pictures -> features before the projection, and unit embeddings."""
    model.eval()
    features = torch.cat([model.visual.trunk(normalise(part)) for part in pixels.split(size)])
    return features.numpy(), nn.functional.normalize(model.visual.head(features), dim=-1).numpy()


def main() -> None:
    """Train, encode, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Parquet with split, title and image")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--warmup", type=float, default=0.05, help="share of the minutes")
    parser.add_argument("--bf16", action="store_true", help="open_clip's --precision amp, on a CPU that has it")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    table = pl.read_parquet(args.data, columns=["split", "title", "image"])
    train_N = torch.from_numpy((table["split"] == "train").to_numpy())
    test_N = torch.from_numpy((table["split"] == "test").to_numpy())
    ids_NT, vocabulary = tokenize(table["title"].to_list())
    print(f"decoding {len(table)} pictures ...", flush=True)
    train_pixels, test_pixels = (
        decode(table.filter(pl.col("split") == split)["image"].to_list(), args.data.parent)
        for split in ("train", "test")
    )
    text_cfg = CONFIG["text_cfg"] | {"vocab_size": vocabulary}
    model = open_clip.CLIP(CONFIG["embed_dim"], CONFIG["vision_cfg"], text_cfg).to(memory_format=torch.channels_last)
    info = train(model, train_pixels, ids_NT[train_N], args)

    features, embeddings = encode(model, test_pixels)
    np.save(args.out / "image_test.npy", embeddings)
    np.save(args.out / "image_test_features.npy", features)
    np.save(args.out / "image_train_features.npy", encode(model, train_pixels)[0])
    with torch.inference_mode():
        titles = torch.cat([model.encode_text(part, normalize=True) for part in ids_NT[test_N].split(1024)])
    np.save(args.out / "title_test.npy", titles.numpy())
    info |= {
        "model": f"open_clip {version('open_clip_torch')}, {CONFIG['vision_cfg']['timm_model_name']} from scratch",
        "inputs": f"image {HEIGHT_PX}x{WIDTH_PX} px, title",
        "data": args.data.name,
        "split": "train",
        "rows": int(train_N.sum()),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "config": CONFIG | {"text_cfg": text_cfg},
        "batch": args.batch,
        "lr": args.lr,
        "decay": args.decay,
        "seed": args.seed,
        "threads": args.threads,
        "bf16": args.bf16,
        "torch": torch.__version__,
        "command": f"python experiments/bench/openclip_peer.py --data $SHOPVL_DATA/{args.data.name} --out OUT"
        f" --minutes {args.minutes:g} --threads {args.threads} --batch {args.batch} --lr {args.lr:g}"
        f" --decay {args.decay:g} --seed {args.seed}{' --bf16' if args.bf16 else ''}",
    }
    (args.out / "info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(info, indent=2))


if __name__ == "__main__":
    main()
