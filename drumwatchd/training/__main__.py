"""`python -m drumwatchd.training`, the same as `drumwatchd-train`."""

from drumwatchd.training.cli import main

if __name__ == "__main__":
    main()
