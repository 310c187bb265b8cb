"""``python -m drumwatchd``."""

from drumwatchd.cli import main

if __name__ == "__main__":
    main()
