"""The container files name what is there: paths, extras, commands, options and ports. No Docker is needed to tell."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from shopvl.cli import app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KNOWN = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, with their arguments, continued lines joined."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in filter(None, whole.splitlines()))]


def said(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def services() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]


def check(words: list[str]) -> None:
    """It is a command of ours with options that it has."""
    group = typer.main.get_command(app)
    options = {name for parameter in group.commands[words[0]].params for name in parameter.opts}
    assert {word for word in words[1:] if word.startswith("--")} <= options


def test_the_image_is_pinned_owned_by_nobody_special_and_made_of_what_is_there() -> None:
    assert {name for name, _ in instructions()} <= KNOWN
    (base,) = said("FROM")
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)
    assert said("USER")[-1] not in ("root", "0")
    assert instructions()[-1][0] == "CMD"
    copied = [source for rest in said("COPY") for source in shlex.split(rest)[:-1]]
    assert all((ROOT / source).exists() for source in copied)
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert allowed == set(copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {*included, "shopvl", project["project"]["readme"], *project["project"]["license-files"]} <= set(copied)


def test_what_is_installed_is_pinned_and_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    installs = [rest for rest in said("RUN") if rest.startswith("pip install")]
    assert all("--constraint constraints.txt" in rest for rest in installs)
    assert set(re.search(r"\.\[(.+)\]", installs[-1])[1].split(",")) <= extras.keys()
    assert "torch torchvision" in installs[0], "before another package brings the build with CUDA"


def test_examples_at_the_head_are_commands() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8") + (DEPLOY / "compose.yaml").read_text("utf-8")
    assert all((ROOT / path).is_file() for path in re.findall(r"--file (\S+)", text))
    assert set(re.findall(r"up (\w+)", text)) == services().keys()
    (run,) = re.findall(r"docker run .* shopvl (.*)", text)
    check(shlex.split(run))


@pytest.mark.parametrize("name", ["app", "server"])
def test_a_service_listens_where_it_is_published_on_this_machine_only(name: str) -> None:
    service = services()[name]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    (published,) = service["ports"]
    port = service["command"][service["command"].index("--port") + 1]
    assert published == f"127.0.0.1:{port}:{port}"
    assert port in said("EXPOSE")[0].split()
    assert f":{port}/" in service["healthcheck"]["test"][-1]
    compile(service["healthcheck"]["test"][-1], name, "exec")
    assert service["read_only"]
    assert any(place.startswith("work:/work") for place in service["volumes"]), "what it writes stays"


def test_commands_of_services() -> None:
    assert json.loads(said("ENTRYPOINT")[0]) == ["shopvl"]
    for service in services().values():
        check(service["command"])


@pytest.mark.zoo
def test_mlflow_has_the_options_of_the_page() -> None:
    commands = pytest.importorskip("mlflow.models.cli").commands
    options = {name for parameter in commands.commands["serve"].params for name in parameter.opts}
    told = re.search(r"^mlflow models serve (.*)$", (ROOT / "docs/serve.md").read_text("utf-8"), re.MULTILINE)
    assert {word for word in told[1].split() if word.startswith("-")} <= options
