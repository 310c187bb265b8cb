"""The way in: hints, rescans, and the judgement that a file is finished."""
