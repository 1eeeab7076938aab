"""The command ``shopsim``, and ``python -m experiments``."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; whoever interrupts it while it is being loaded sees no traceback either."""
    try:
        from experiments.cli import app

        app()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
