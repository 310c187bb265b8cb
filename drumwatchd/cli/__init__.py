"""The commands: the only printer, and the only place with exit codes."""
