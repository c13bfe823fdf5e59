"""What answers at once: nothing heavy is imported by it."""

import subprocess
import sys

import pytest

RUN = """
from typer.testing import CliRunner
from shopvl.cli import app
assert CliRunner().invoke(app, {words}).exit_code == 0
"""
HEAVY = ("torch", "transformers", "timm", "mlflow", "faiss", "gradio", "sklearn")


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


def test_public_face_is_lazy_and_whole() -> None:
    import shopvl

    for name in shopvl.__all__:
        assert getattr(shopvl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = shopvl.nothing


def test_torchvision_can_be_imported() -> None:
    assert "torchvision" in modules_after("import shopvl, torchvision; torchvision.transforms")
