"""Write what docs/model-card.md tells of the shipped model's card: `python docs/reference/make_model_card.py`.

Text between the marks is made of `models/<id>/model.json`; everything else on the page is by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drumwatchd.analysis.model_card import ModelCard, read_card, shipped_model

PAGE = Path(__file__).parent.parent / "model-card.md"


def render(page: str, card: ModelCard) -> str:
    """The page with every marked part made anew."""
    details = card.details
    parts = {
        "network": network(card, details),
        "figures": figures(details["figures"]),
        "parity": parity(details["parity"]),
        "tags": tags(details.get("tags", {})),
        "data": data(details["training_data"]),
    }
    for name, text in parts.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
        page, count = mark.subn(lambda match, text=text: match[1] + text + match[2], page)
        if count != 1:
            raise ValueError(f"the page has {count} parts named {name}")
    return page


def network(card: ModelCard, details: Mapping[str, Any]) -> str:
    """What it is."""
    spec = card.features
    size_mb = card.weights_path.stat().st_size / 1e6
    axis = (
        f"{spec.n_frames} frames on a warped time axis, from "
        f"{1e3 * _first_frame_seconds(card):.1f} ms at the onset on each longer than the one before"
        if spec.warp_frames
        else f"{spec.n_frames} frames, hop {spec.hop_length}"
    )
    rows = [
        ("network", f"residual, plain 3-by-3 convolutions, {details['parameters']:,} parameters, "
         f"float16 weights, {size_mb:.2f} MB"),
        ("input", f"log-mel spectrogram, {spec.n_mels} bands (HTK scale, {spec.fmin:.0f} to "
         f"{spec.fmax:,.0f} Hz) by {axis}; FFT {spec.n_fft}, {spec.sr:,} Hz mono"),
        ("level", f"peak-normalised, loudest point 0 dB, floor -{spec.top_db:.0f} dB: how loud a "
         "file is doesn't matter"),
        ("onset", f"leading silence is skipped: the window begins {spec.onset_margin} samples "
         f"before the sound first comes within {-spec.onset_db:.0f} dB of its peak, in training "
         "and in use"),
        ("outputs", f"`probabilities` ({len(card.labels)}), `embedding` ({card.embedding_size})"),
    ]  # fmt: skip
    return _table(["", ""], rows)


def figures(measured: Mapping[str, Any]) -> str:
    """What was measured on the sounds held out from the weights."""
    share = {key: f"{value:.3f}" for key, value in measured.items() if isinstance(value, float)}
    threshold = f"confidence ≥ {measured['threshold']:.2f}"
    rows = [
        ("accuracy, six + misc, before the threshold", f"**{share['accuracy']}**"),
        ("the same, averaged over kits", f"**{share['kit_accuracy']}**"),
        ("sounds of the six labels only", share["six_accuracy"]),
        ("accuracy, 34 labels", share["fine_accuracy"]),
        ("sounds of no folder that end in misc", share["misc_recall"]),
        ("sounds that are no drum, filed in misc", share["non_drums_in_misc"]),
        (
            threshold,
            f"{share['coverage']} of the sounds, {share['covered_accuracy']} of them right",
        ),
        ("expected calibration error of the confidence", share["calibration_error"]),
    ]
    folders = list(measured["recall"])
    by_folder = [
        (folder, f"{measured['recall'][folder]:.3f}", f"{measured['precision'][folder]:.3f}")
        for folder in folders
    ]
    confusion = [
        (folder, *map(str, row)) for folder, row in zip(folders, measured["confusion"], strict=True)
    ]
    return "\n\n".join(
        [
            f"{measured['n_sounds']} sounds of {measured['n_kits']} kits.",
            _table(["", ""], rows),
            _table(["folder", "recall", "precision"], by_folder),
            _table(["true ↓, judged →", *folders], confusion),
        ]
    )


def parity(measured: Mapping[str, Any]) -> str:
    """What export changed."""
    return (
        f"Export changed no probability by more than {measured['probabilities']:.1e} "
        f"({measured['n_sounds']} sounds, Keras against LiteRT)."
    )


def tags(heads: Mapping[str, Any]) -> str:
    """The finer tags that held-out sounds bear out."""
    if not heads:
        return "None are borne out by the sounds held out."
    rows = []
    for label, head in heads.items():
        measured = head["figures"]
        recall = ", ".join(f"{tag} {value:.2f}" for tag, value in measured["recall"].items())
        rows.append((label, f"{measured['accuracy']:.3f}", f"{measured['commonest']:.3f}", recall))
    return _table(["label", "accuracy", "always the commonest", "recall"], rows)


def data(trained_on: Mapping[str, Any]) -> str:
    """What it was trained on."""
    sources = trained_on["sources"]
    unstated = sum(one["n_sounds"] for one in sources if one["licence"] == "none stated")
    rows = [(one["origin"], str(one["n_sounds"]), one["licence"]) for one in sources]
    return "\n\n".join(
        [
            f"{trained_on['n_sounds']:,} sounds of {trained_on['n_kits']} kits, cut to 1.3 seconds.",
            _table(["origin", "sounds", "licence stated there"], rows),
            f"For {unstated:,} of the sounds their origin states no licence.",
        ]
    )


def _first_frame_seconds(card: ModelCard) -> float:
    spec = card.features
    warp = spec.warp_seconds
    return warp * ((1 + spec.n_samples / spec.sr / warp) ** (1 / spec.warp_frames) - 1)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(render(page, read_card(shipped_model())), encoding="utf-8")
