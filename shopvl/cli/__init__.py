"""The command line: `main` is what the program `shopvl` starts, `app` holds the commands."""

from shopvl.cli.main import app, main

__all__ = ["app", "main"]
