"""What strangers wrote is shown as they wrote it: a terminal obeys none of it, and no encoding ends a command."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.table import Table

from shopvl.cli.console import chatter, out, say, visible

HOSTILE = "a\x1b[2J\x1b]0;x\x07 [/red] :smile: \x9b31m \u202eb \ud83d \r[bold]c"
SHOWN = "a\\x1b[2J\\x1b]0;x\\x07 [/red] :smile: \\x9b31m \\u202eb \\ud83d \\r[bold]c"


def test_no_control_is_left() -> None:
    every = "".join(map(chr, range(0x3000)))
    left = [letter for letter in visible(every) if unicodedata.category(letter) == "Cc"]
    assert left == ["\t", "\n"]
    assert [letter for letter in every if visible(letter) != letter and letter.isprintable()] == []
    assert visible(HOSTILE) == SHOWN
    assert visible("可爱 ‍é") == "可爱 ‍é"


def test_texts_and_tables_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("column [/]", title=HOSTILE, width=200)
    table.add_row(HOSTILE)
    for show in (lambda: out.print(HOSTILE), lambda: out.print(table), lambda: chatter.print(table)):
        show()
        came = "".join(capsys.readouterr())
        assert SHOWN in came
        assert HOSTILE not in came
    say(HOSTILE)
    assert capsys.readouterr().err == SHOWN + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
@pytest.mark.skipif(os.name == "nt", reason="names of files are texts there")
def test_names_that_no_encoding_holds(tmp_path: Path, encoding: str) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\x1b[2J\xe5\x8f\xaf.csv"
    Path(os.fsdecode(name)).write_bytes("id,title,\x1b[2J\n1,可爱 shirt,x\n".encode())
    told = [sys.executable, "-m", "shopvl.cli", "catalog", "check", name]
    done = subprocess.run(told, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=False)
    said = done.stdout + done.stderr
    assert b"Traceback" not in said
    assert b"\x1b" not in said
    assert b"\\x1b[2J" in said
    assert done.returncode == 1, said
