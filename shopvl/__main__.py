"""So that `python -m shopvl` is the program `shopvl`."""

from shopvl.cli.main import main

if __name__ == "__main__":
    main()
