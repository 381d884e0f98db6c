"""``python -m annotator``."""

from annotator.cli.commands import main

if __name__ == "__main__":
    main()
