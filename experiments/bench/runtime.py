"""Does another runtime pay on a CPU? The picture tower under PyTorch and ONNX Runtime, in full, bfloat16 and int8.

    python experiments/bench/runtime.py --data $SHOPVL_DATA --out experiments/results/runtime.json

One thread, batch 32, in turns; median of the rounds. `agreement` is the share of test pictures that a nearest-neighbour
search over the tower's vectors pairs with the same picture as in full precision, `cosine` the mean of the vectors'
own. int8 is static (QDQ), its ranges from 256 train pictures. Wants `onnx` and `onnxscript` beside what shopvl needs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from shopvl.catalog.images import decode
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result
from shopvl.vision.transforms import to_pixels

BATCH, PICTURES = 32, 2048
SMALL = "fashion-products-small.parquet"
Run = Callable[[np.ndarray], np.ndarray]


def pixels_of(design: Design, table: Path, split: str, count: int) -> np.ndarray:
    """(N, 3, Y, X) float32 in [0, 1]."""
    found: list[np.ndarray] = []
    for frame in open_catalog(table, split=split).batches():
        for image in frame["image"]:
            found.append(to_pixels(decode(image["bytes"]), design.loader.size_px))
            if len(found) == count:
                return np.stack(found).astype(np.float32) / 255
    return np.stack(found).astype(np.float32) / 255


class Some(CalibrationDataReader):
    """Pictures for the ranges of int8."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.batches: Iterator[np.ndarray] = iter(np.split(pixels, len(pixels) // BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch."""
        batch = next(self.batches, None)
        return None if batch is None else {"pixels": batch}


def contenders(design: Design, table: Path, scratch: Path) -> dict[str, Run]:
    """By name: pixels (32, 3, Y, X) -> vectors (32, width)."""
    tower = design.model.image_tower.eval()
    full, small = scratch / "tower.onnx", scratch / "int8.onnx"
    example = torch.zeros(BATCH, 3, *design.loader.size_px)
    torch.onnx.export(tower, (example,), str(full), input_names=["pixels"], output_names=["vector"], dynamo=True)
    quant_pre_process(str(full), str(scratch / "ready.onnx"))
    reader = Some(pixels_of(design, table, "train", 256))
    quantize_static(str(scratch / "ready.onnx"), str(small), reader, quant_format=QuantFormat.QDQ, per_channel=True)

    def of_torch(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return tower(torch.from_numpy(pixels)).float().numpy()

    def of_bfloat16(pixels: np.ndarray) -> np.ndarray:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return of_torch(pixels)

    def of_onnx(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda pixels: session.run(None, {"pixels": pixels})[0]

    return {
        "torch float32": of_torch,
        "torch bfloat16": of_bfloat16,
        "onnxruntime float32": of_onnx(full),
        "onnxruntime int8": of_onnx(small),
    }


def nearest(vectors: np.ndarray) -> np.ndarray:
    """Of each vector, the most alike other one."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -1)
    return alike.argmax(1)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    design = Design.from_pretrained(args.model)
    pixels = pixels_of(design, args.data / SMALL, "test", PICTURES)
    parts = np.split(pixels, len(pixels) // BATCH)
    with tempfile.TemporaryDirectory() as scratch:
        runs = contenders(design, args.data / SMALL, Path(scratch))
        vectors = {name: np.concatenate([run(part) for part in parts]) for name, run in runs.items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(args.rounds):
            for name, run in runs.items():
                started = time.perf_counter()
                for part in parts[:16]:
                    run(part)
                seconds[name].append(time.perf_counter() - started)
    full = vectors["torch float32"]
    found = {}
    for name, own in vectors.items():
        norms = np.linalg.norm(own, axis=1) * np.linalg.norm(full, axis=1)
        found[name] = {
            "ms_per_picture": statistics.median(seconds[name]) / (16 * BATCH) * 1e3,
            "times_as_fast": statistics.median(
                one / other for one, other in zip(seconds["torch float32"], seconds[name], strict=True)
            ),
            "cosine": float(((own * full).sum(1) / norms).mean()),
            "agreement": float((nearest(own) == nearest(full)).mean()),
        }
    write_result(args.out, {"contenders": found}, model=design.name, data=[args.data / SMALL])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
