"""Imports run downwards. The table below is the house; a file that is not in it fails."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = (
    {"errors", "torchvision_mend", "allocator", "arithmetic", "compact", "overlap"},
    {"__init__", "paths", "batch", "exclusive_lock"},
    {"recipes", "vision", "metrics", "tracking"},
    {"catalog"},
    {"text"},
    {"models", "objectives", "loading"},
    {"design"},
    {"encoding"},
    {"features", "answers"},
    {"training", "tasks"},
    {"adapting", "experiments"},
    {"demo"},
    {"cli"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

DOORS = {
    "paddleocr": {"vision/ocr_worker.py"},
    "rapidocr": {"vision/ocr_worker.py"},
    "cv2": {"vision/subject.py", "vision/lettering.py", "vision/kaleido.py"},
    "faiss": {"tasks/search/vectors.py"},
    "tantivy": {"tasks/search/lexical.py"},
    "rjieba": {"tasks/search/lexical.py"},
    "pymilvus": {"tasks/search/milvus.py"},
    "timm": {"models/backbones.py"},
    "transformers": {"models/backbones.py"},
    "peft": {"models/backbones.py"},
    # runs, models, and the file that MLflow itself runs to serve one: it has to stand alone
    "mlflow": {"tracking/store.py", "tracking/registry.py", "experiments/served.py"},
    "psutil": {"tracking/machine.py"},
    "xlsxwriter": {"tasks/review_sheet.py"},
    "python_calamine": {"tasks/review_sheet.py"},
    "ray": {"tasks/ray_engine.py"},
    "gradio": set(),  # its door is the folder app/
}

APP_KNOWS = {"gradio", "gradio_client", "fastapi", "starlette", "uvicorn", "PIL", "yaml", "app", "shopvl", "__future__"}
FILES = sorted((ROOT / "shopvl").rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "shopvl").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "shopvl":
                found |= {f"shopvl.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    room = room_of(path)
    assert room in FLOOR_OF, f"{room} stands on no floor; add it to the table"
    for module in imported(path):
        if not module.startswith("shopvl.") or module in {"shopvl.__version__", "shopvl.runtime.torchvision_mend"}:
            continue
        other = module.split(".")[1]
        if other != room:
            assert FLOOR_OF[other] < FLOOR_OF[room], f"{path.name} imports {module}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_have_one_door(path: Path) -> None:
    place = path.relative_to(ROOT / "shopvl").as_posix()
    for module in imported(path):
        library = module.split(".")[0]
        assert place in DOORS.get(library, {place}), f"{library} is imported outside its door"


def test_lower_floors_and_recipes_know_no_torch() -> None:
    for path in FILES:
        if room_of(path) in {"errors", "paths", "recipes", "catalog", "vision", "text", "metrics"}:
            assert not {m.split(".")[0] for m in imported(path)} & {"torch", "timm", "transformers"}, path


@pytest.mark.parametrize("path", sorted((ROOT / "app").glob("*.py")), ids=lambda path: path.name)
def test_the_app_holds_widgets_only(path: Path) -> None:
    others = {module.split(".")[0] for module in imported(path)} - APP_KNOWS - sys.stdlib_module_names
    assert not others, f"{path.name} imports {others}; what is done with them belongs in shopvl/tasks"
    assert "shopvl.cli" not in imported(path)
