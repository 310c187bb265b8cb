"""The order in which a person is asked about samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from drumwatchd.analysis.asking import order_to_ask


def clusters(n_each: int, n: int = 4, seed: int = 0) -> np.ndarray:
    """`n` drums, `n_each` hits of each: embeddings near one axis each."""
    rng = np.random.default_rng(seed)
    centres = np.eye(n, 16, dtype=np.float32)
    noise = 0.01 * rng.random((n * n_each, 16))
    return (np.repeat(centres, n_each, axis=0) + noise).astype(np.float32)


def test_the_most_doubtful_comes_first() -> None:
    """Where nothing else differs, the least confident is asked about."""
    confidences = np.array([0.9, 0.8, 0.2, 0.95], np.float32)
    assert order_to_ask(clusters(1), confidences, 1) == [2]


def test_one_of_each_drum_before_a_second() -> None:
    """Hits of one drum aren't asked about one after the other, however doubtful they are."""
    confidences = np.repeat(np.array([0.3, 0.5, 0.6, 0.7], np.float32), 10)
    order = order_to_ask(clusters(10), confidences, 4)
    assert [row // 10 for row in order] == [0, 1, 2, 3]


def test_what_was_answered_is_not_asked_again() -> None:
    """A hit like one that is known comes after all others."""
    embeddings = clusters(1)
    confidences = np.array([0.1, 0.5, 0.5, 0.5], np.float32)
    assert order_to_ask(embeddings, confidences, 4, known=embeddings[:1] * 3)[-1] == 0


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_every_row_comes_once(n: int, limit: int, n_known: int) -> None:
    """Whatever the numbers, zeros included, an order has no row twice and none too many."""
    rng = np.random.default_rng(n)
    embeddings = np.maximum(rng.normal(size=(n, 8)), 0).astype(np.float32)
    confidences = rng.random(n).astype(np.float32)
    known = np.zeros((n_known, 8), np.float32)
    order = order_to_ask(embeddings, confidences, limit, known)
    assert len(order) == len(set(order)) == min(n, limit)
