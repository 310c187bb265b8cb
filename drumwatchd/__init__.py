"""drumwatchd files drum samples by what they sound like."""

__version__ = "0.1.0"
