"""The process that reads words in pictures: started by `vision/ocr.py`, also with the Python of another environment.

It knows no other file of this package, because PaddleOCR's environment does not hold it. Requests come over standard
input: one JSON line with `height` and `width`, then height x width x 3 bytes of RGB. Each reply is one JSON line on
standard output: `words` (list of [text, confidence, eight corner numbers in [0, 1]]) or `fault`, and `resident_mb`.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Line = tuple[str, float, np.ndarray]  # words, confidence, corners (4, 2) in pixels, clockwise from the upper left
Read = Callable[[np.ndarray], list[Line]]


def rapid(side_px: int) -> Read:
    """RapidOCR with the models inside its wheel; pictures smaller than `side_px` are enlarged for finding text."""
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params={**threads, "Global.log_level": "error", "Det.limit_side_len": side_px})

    def read(bgr: np.ndarray) -> list[Line]:
        # all three are given every time: the engine remembers the last call's values
        result = engine(bgr, use_det=True, use_cls=False, use_rec=True)
        texts = getattr(result, "txts", None)
        if result.boxes is None or texts is None:
            return []
        return [(text, float(score), box) for text, score, box in zip(texts, result.scores, result.boxes, strict=True)]

    return read


def paddle(side_px: int, models: Path) -> Read:
    """PaddleOCR on two model folders, `det` and `rec`, run by ONNX Runtime."""
    os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
    from paddleocr import PaddleOCR

    engine = PaddleOCR(
        engine="onnxruntime",
        text_detection_model_name="PP-OCRv6_small_det",
        text_detection_model_dir=str(models / "det"),
        text_recognition_model_name="PP-OCRv6_small_rec",
        text_recognition_model_dir=str(models / "rec"),
        text_det_limit_side_len=side_px,
        text_det_limit_type="min",
        use_doc_orientation_classify=False,
        use_doc_unwarping=False,
        use_textline_orientation=False,
    )

    def read(bgr: np.ndarray) -> list[Line]:
        lines: list[Line] = []
        for page in engine.predict(bgr):
            rows = zip(page["rec_texts"], page["rec_scores"], page["rec_polys"], strict=True)
            lines += [(text, float(score), np.asarray(corners)) for text, score, corners in rows if text.strip()]
        return lines

    return read


def resident_mb() -> float:
    """Memory this process holds now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def limit_memory(ceiling_mb: int) -> None:
    """Let a picture that would take more than the ceiling fail here, instead of taking the machine's memory."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    # address space is not resident memory: what the libraries reserved by now is theirs
    reserved = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limit = reserved + (ceiling_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def answer(read: Read, rgb: np.ndarray) -> dict[str, Any]:
    """The reply for one picture; whatever an engine raises is a fault of this picture only."""
    try:
        lines = read(np.ascontiguousarray(rgb[..., ::-1]))
    except (Exception, MemoryError) as error:  # noqa: BLE001  engines raise bare Exception, RuntimeError, cv2.error
        return {"fault": f"{type(error).__name__}: {str(error)[:200]}"}
    scale = np.array([rgb.shape[1], rgb.shape[0]], dtype=float)
    return {"words": [[text, score, *_corners(box / scale)] for text, score, box in lines]}


def _corners(box: np.ndarray) -> Iterable[float]:
    return (round(float(x), 5) for x in np.clip(box, 0, 1).ravel())


def serve(read: Read, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the other side closes."""
    while header := requests.readline():
        size = json.loads(header)
        shape = (size["height"], size["width"], 3)
        data = requests.read(shape[0] * shape[1] * 3)
        reply = answer(read, np.frombuffer(data, dtype=np.uint8).reshape(shape))
        replies.write(json.dumps({**reply, "resident_mb": resident_mb()}).encode() + b"\n")
        replies.flush()


def main() -> None:
    """`ocr_worker.py ENGINE SIDE_PX CEILING_MB [MODELS]`."""
    name, side_px, ceiling_mb = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # engines print to standard output; replies go through a copy of it that only this file knows
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    read = paddle(side_px, Path(sys.argv[4])) if name == "paddle" else rapid(side_px)
    limit_memory(ceiling_mb)
    replies.write(b'{"ready": true}\n')
    replies.flush()
    serve(read, sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
