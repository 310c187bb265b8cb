"""Whole archives, in two phases: `classify` writes down what every file is, `rebuild` files by that.

The first is the long one, and can be killed at any moment; the second may be repeated as often as its
owner likes, with other thresholds and labels, and analyses nothing. The first works over any
`concurrent.futures.Executor` that it is given.
"""
