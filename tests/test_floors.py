"""Imports run downwards. The table below is the house; a file that is not in it fails."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = (
    {"errors", "discovery", "runtime"},
    {"checksums"},
    {"__init__", "paths", "batch", "files", "arrow", "device", "yaml_file"},
    {"recipes", "vision", "metrics", "tracking"},
    {"catalog", "synthetic"},
    {"text", "reporting"},
    {"models", "objectives", "data"},
    {"design"},
    {"inference"},
    {"training", "tagging", "review"},
    {"search"},
    {"evaluation"},
    {"start"},
    {"adapt", "runs"},
    {"service"},
    {"loaded"},
    {"demo", "server", "estimator"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

DOORS = {
    "paddleocr": {"vision/ocr_worker.py"},
    "rapidocr": {"vision/ocr_worker.py"},
    "cv2": {"vision/subject.py", "vision/lettering.py", "vision/kaleido.py", "vision/promotions.py"},
    "faiss": {"search/stores/faiss.py"},
    "tantivy": {"search/lexical.py"},
    "rjieba": {"search/lexical.py"},
    "rapidfuzz": {"search/spelling.py"},
    "opencc": {"catalog/chinese.py"},
    "pymilvus": {"search/stores/milvus.py"},
    "timm": {"models/backbones.py"},
    "transformers": {"models/backbones.py"},
    "peft": {"models/backbones.py"},
    # runs, models, and the file that MLflow itself runs to serve one: it has to stand alone
    "mlflow": {"tracking/store.py", "tracking/registry.py", "runs/served.py"},
    "onnxruntime": {"runtime/onnx.py", "vision/paddle_models.py"},
    "openvino": {"runtime/openvino.py"},
    "psutil": {"tracking/machine.py"},
    "xxhash": {"checksums.py"},
    "yaml": {"yaml_file.py", "text/prompts.py", "vision/paddle_models.py"},  # these two read what ships
    "huggingface_hub": {"design/hub.py"},
    "urllib3": {"catalog/downloading.py"},
    "xlsxwriter": {"review/sheet.py", "catalog/formats/workbook.py"},
    "python_calamine": {"catalog/formats/workbook_process.py"},
    "defusedxml": {"catalog/formats/xml_feed.py"},
    "ray": {"tagging/ray_executor.py"},
    "fastapi": {"server/application.py", "server/handlers.py", "server/reading.py"},
    "uvicorn": {"server/running.py"},
    "mcp": {"server/mcp_tools.py"},
    "prometheus_client": {"server/figures.py"},
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


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path != ROOT / "shopvl/__init__.py"],  # which says what is public, for type checkers
    ids=lambda path: str(path.relative_to(ROOT)),
)
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


def test_the_package_itself_imports_the_ground_only() -> None:
    code = "import sys, shopvl; print(*sorted(name for name in sys.modules if name.startswith('shopvl.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.split(".")[1] for name in loaded} <= FLOORS[0]


def test_lower_floors_and_recipes_know_no_torch() -> None:
    for path in FILES:
        if room_of(path) in {
            "errors",
            "paths",
            "checksums",
            "files",
            "recipes",
            "catalog",
            "synthetic",
            "vision",
            "text",
            "metrics",
        }:
            assert not {m.split(".")[0] for m in imported(path)} & {"torch", "timm", "transformers"}, path


@pytest.mark.parametrize("path", sorted((ROOT / "app").glob("*.py")), ids=lambda path: path.name)
def test_the_app_holds_widgets_only(path: Path) -> None:
    others = {module.split(".")[0] for module in imported(path)} - APP_KNOWS - sys.stdlib_module_names
    assert not others, f"{path.name} imports {others}; what is done with them belongs in shopvl/service"
    assert "shopvl.cli" not in imported(path)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_two_files_import_each_other_in_a_circle() -> None:
    """At file level and inside rooms, imports for type checking and within functions included."""
    modules = {module_of(path): path for path in FILES}
    needs = {name: {other for other in imported(path) if other in modules} - {name} for name, path in modules.items()}
    # a package's own page passes names of its files on; they are imported from the files themselves inside the room
    needs = {name: {other for other in others if not name.startswith(f"{other}.")} for name, others in needs.items()}
    while free := {name for name, others in needs.items() if not others & needs.keys()}:
        needs = {name: others for name, others in needs.items() if name not in free}
    assert not needs, f"these import each other: {sorted(needs)}"


def test_no_class_name_stands_in_two_modules() -> None:
    places: dict[str, list[str]] = {}
    for path in [*FILES, *sorted((ROOT / "app").glob("*.py"))]:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.name)
    twice = {name: files for name, files in places.items() if len(files) > 1}
    assert not twice, f"a class name means one thing: {twice}"


def test_no_file_is_a_corridor() -> None:
    """Files of up to 500 lines."""
    long = {str(path.relative_to(ROOT)) for path in FILES if len(path.read_text("utf-8").splitlines()) > 500}
    assert not long, f"split these: {sorted(long)}"


def test_no_function_is_longer_than_a_screen() -> None:
    """Up to 60 lines, from `def` to its end."""
    long = [
        f"{path.relative_to(ROOT)}: {node.name} has {lines} lines"
        for path in [*FILES, *sorted((ROOT / "app").glob("*.py"))]
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > 60
    ]
    assert not long, f"split these: {long}"


def test_few_places_assert_that_something_is_there() -> None:
    """What may be missing is asked for with `require`, given as an argument, or of a type that cannot lack it."""
    places = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in [*FILES, *sorted((ROOT / "app").glob("*.py"))]
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assert) and "is not None" in ast.unparse(node.test)
    ]
    assert not places


def test_the_vocabulary_needs_no_torch() -> None:
    loaded = (
        "import sys, shopvl.catalog.vocabulary; print(sorted({'torch', 'timm', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).strip() == "[]"
