"""So that `python -m shopvl.cli` is the program `shopvl`."""

from shopvl.cli.main import main

if __name__ == "__main__":
    main()
