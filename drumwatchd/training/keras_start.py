"""Keras, imported without what its backend has to say."""

from __future__ import annotations

import os


def start_keras() -> None:
    """Import it, TensorFlow's notes on processors and missing graphics cards sent nowhere."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from drumwatchd.analysis.classifier import quiet_stderr

    with quiet_stderr():
        import keras

        keras.ops.zeros(1)  # only now does it look for devices
