"""The memory: one SQLite file, one writer, many readers."""
