"""What answers at once: nothing heavy is imported by it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RUN = """
from typer.testing import CliRunner
from shopvl.cli import app
assert CliRunner().invoke(app, {words}).exit_code == 0
"""
LOADED = """
import shopvl
assert shopvl.load().tag({picture!r}, title="Linen shirt")
"""
TABLE = """
import shopvl
assert len(shopvl.load().tag_table({table!r}).tags)
"""
HEAVY = ("torch", "transformers", "timm", "mlflow", "faiss", "gradio", "sklearn")


UNNEEDED = (
    *(
        "torchvision",
        "pandas",
        "scipy",
        "peft",
        "accelerate",
        "matplotlib",
        "onnxruntime",
        "openvino",
        "tantivy",
        "sympy",
    ),
    *("ray", "pymilvus", "milvus_lite", "fastapi", "uvicorn", "mcp", "prometheus_client"),
)


def modules_after(code: str) -> set[str]:
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    return {name.split(".")[0] for name in printed.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import shopvl",
        RUN.format(words=["--help"]),
        RUN.format(words=["recipes", "list"]),
        RUN.format(words=["recipes", "show", "vilt"]),
    ],
)
def test_loads_nothing_heavy(code: str) -> None:
    assert not modules_after(code) & set(HEAVY)


def test_help_loads_no_tables() -> None:
    assert not modules_after(RUN.format(words=["--help"])) & {"polars", "pyarrow", "numpy", "PIL"}


@pytest.mark.parametrize("code", [RUN, LOADED, TABLE], ids=["shopvl ask", "shopvl.load().tag", "tag_table"])
def test_who_asks_about_one_product_waits_for_torch_alone(code: str, tmp_path: Path) -> None:
    picture = tmp_path / "shirt.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 60, 3), dtype=np.uint8)).save(picture)
    table = tmp_path / "products.csv"
    table.write_text(f"product_id,title,image\n1,Linen shirt,{picture.name}\n")
    words = ["ask", str(picture), "what colour is it?", "--title", "Linen shirt"]
    found = modules_after(code.format(words=words, picture=str(picture), table=str(table)))
    assert {"torch", "tokenizers", "PIL"} <= found
    assert not found & {*HEAVY, *UNNEEDED} - {"torch"}


def test_public_face_is_lazy_and_whole() -> None:
    import shopvl

    for name in shopvl.__all__:
        assert getattr(shopvl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = shopvl.nothing


def test_torchvision_can_be_imported() -> None:
    assert "torchvision" in modules_after("import shopvl, torchvision; torchvision.transforms")
