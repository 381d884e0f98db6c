"""``python -m annotator``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder, where others may have put modules
    from annotator.cli.commands import main

    main()
