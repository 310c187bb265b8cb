"""A model is a folder: `model.tflite`, its card `model.json`, and two tables that a person may edit.

The card says everything that analysis needs to know of the network, feature parameters included, so
that no configuration can disagree with it. Pure Python: the daemon's own process reads the id.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.analysis.tags import TagHead, read_tags
from drumwatchd.errors import ModelError

_T = TypeVar("_T")
FORMAT_VERSION = 1
SHIPPED_ID = "drumwatchd-1"
CARD_NAME = "model.json"
WEIGHTS_NAME = "model.tflite"
LABEL_MAPPING_NAME = "label_mapping.json"
CANONICAL_MAPPING_NAME = "canonical_mapping.json"
HEAD_NAME = "head.npz"
REPLAY_NAME = "replay.npz"
_EVEN_AXIS = {"warp_frames": 0, "warp_seconds": 0.0}
_RETRAIN_HINT = "install drumwatchd again, or export the model with drumwatchd-train"


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """How a recording becomes the network's input; names as in librosa.

    Attributes:
        kind: ``log_mel`` or ``mfcc``.
        sr: sample rate of the analysed signal, Hz.
        n_samples: length of the analysed window; shorter signals are padded with zeros.
        n_fft: FFT and Hann window length, samples; frames are centred and zero-padded.
        hop_length: samples from frame to frame; on a warped time axis the most that lie between the
            spectra whose mean is one frame.
        warp_frames: frames of a time axis that is fine at the onset and coarse in the tail; 0 for one
            that is even.
        warp_seconds: what it is even up to, roughly; from there on each frame is longer than the one
            before by the same factor.
        n_mels: mel bands (Slaney area normalisation).
        n_mfcc: cepstral coefficients; 0 for ``log_mel``.
        fmin: lowest mel frequency, Hz.
        fmax: highest mel frequency, Hz.
        htk: HTK's mel scale instead of Slaney's.
        top_db: levels further than this below the loudest are raised to that floor.
        relative: the loudest point is 0 dB (the level of the file doesn't matter).
        offset: added to each feature, in dB, before `scale` divides it.
        scale: divisor that brings features to about [-1, 1].
        onset_db: the window begins at the first sample within this of the peak, dB below it.
        onset_margin: samples kept before that sample.
        onset_search_seconds: how much leading silence is looked through at most.
    """

    kind: str
    sr: int
    n_samples: int
    n_fft: int
    hop_length: int
    warp_frames: int
    warp_seconds: float
    n_mels: int
    n_mfcc: int
    fmin: float
    fmax: float
    htk: bool
    top_db: float
    relative: bool
    offset: float
    scale: float
    onset_db: float
    onset_margin: int
    onset_search_seconds: float

    @property
    def n_frames(self) -> int:
        """Frames of one window, centred as librosa's default where the time axis is even."""
        return self.warp_frames or 1 + self.n_samples // self.hop_length

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one feature array: (bands or coefficients, frames)."""
        return (self.n_mfcc if self.kind == "mfcc" else self.n_mels, self.n_frames)


@dataclass(frozen=True, slots=True)
class CardFile:
    """A file beside the card, by its name and its SHA-256.

    Attributes:
        name: in the model's folder.
        sha256: of its bytes.
        base: of an adapted model's head, id of the model that it was made from; None for what only
            comes along.
    """

    name: str
    sha256: str
    base: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What `model.json` and the tables beside it say.

    Attributes:
        id: name of the model, as the index keeps it.
        labels: fine labels in the order of the network's output.
        canonical_of: fine label → folder label or ``misc``.
        features: how the input is made.
        embedding_size: length of the network's first output.
        confidence_threshold: the threshold that the figures on the card were measured with.
        tags: of labels that have finer ones; empty for cards without.
        head: the last layer by itself; it judges in the network's place where it has a base.
        replay: embeddings that an adaptation needs; None where none came along.
        folder: where the card was read.
        details: the whole card: data, licences, figures, versions.
    """

    id: str
    labels: tuple[str, ...]
    canonical_of: Mapping[str, str]
    features: FeatureSpec
    embedding_size: int
    confidence_threshold: float
    tags: Mapping[str, TagHead]
    head: CardFile | None
    replay: CardFile | None
    folder: Path
    details: Mapping[str, Any]

    @property
    def weights_path(self) -> Path:
        """The network itself."""
        return self.folder / WEIGHTS_NAME

    @property
    def backbone(self) -> str:
        """What tells one embedding space from another: the SHA-256 of the network."""
        return str(self.details.get("sha256", ""))

    @property
    def network_key(self) -> str:
        """Under this the index keeps when this network first judged under this id."""
        return f"network {self.id} {self.backbone[:16]}"

    @property
    def family(self) -> str:
        """What the ids of all models begin with that are adapted from this very network."""
        return f"{self.id}-" if self._is_named_after_network else f"{self.id}-{self.backbone[:6]}-"

    @property
    def _is_named_after_network(self) -> bool:
        """Whether the id tells the network, as that of a retrained one does: no other can have it."""
        return self.is_retrained and self.id.endswith(f"-{self.backbone[:6]}")

    def has_heard(self, model: str | None, filed: float | None, since: str | None) -> bool:
        """Whether it was this network that a sample's embedding comes from, by what the index has.

        Args:
            model: id of the model that judged the sample.
            filed: when, Unix time.
            since: what the index keeps under `network_key`: under its id another one judged before.
        """
        if model is None or filed is None:
            return False
        if model == self.id:
            return self._is_named_after_network or (since is not None and filed >= float(since))
        return model.startswith(self.family)

    @property
    def is_adapted(self) -> bool:
        """Whether it was made from another model by what an owner corrected."""
        return self.head is not None and self.head.base is not None

    @property
    def is_retrained(self) -> bool:
        """Whether its network was trained further, on what an owner corrected among other sounds."""
        return "root" in self.details

    @property
    def root(self) -> str:
        """The network that came with drumwatchd or was configured, and that this one goes back to."""
        return str(self.details.get("root", self.backbone))

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Labels that an owner invented; each has a folder of its own."""
        if not self.is_adapted:
            return ()
        own = (label for label in self.labels if label not in FINE_LABELS)
        return tuple(label for label in own if self.canonical_of[label] == label)


def configured_model(model: str) -> Path:
    """Folder of the model that ``[classify] model`` names; of the shipped one for ``""``."""
    return Path(model) if model else shipped_model()


def shipped_model() -> Path:
    """Folder of the model that comes with drumwatchd: in the package, else in the repository."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "models" / SHIPPED_ID
    return installed if installed.is_dir() else package.parent / "models" / SHIPPED_ID


def read_card(folder: str | Path) -> ModelCard:
    """Read and check the card in `folder`; the network's bytes aren't looked at.

    Raises:
        ModelError: if a file is missing, damaged, or of a format that this version doesn't read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(
            "no model folder", path=str(folder), hint="set [classify] model, or leave it out"
        )
    path = folder / CARD_NAME
    card = _read_json(path)
    version = card.get("format")
    if version != FORMAT_VERSION:
        raise ModelError(
            f"the model card has format {version!r}, this version reads {FORMAT_VERSION}",
            path=str(path),
            hint=_RETRAIN_HINT,
        )
    labels = _read_labels(folder, _wanted(card, "labels", list, path))
    outputs = _wanted(card, "outputs", dict, path)
    embedding_size = _wanted(outputs, "embedding_size", int, path)
    return ModelCard(
        id=_wanted(card, "id", str, path),
        labels=labels,
        canonical_of=_read_canonical(folder, labels),
        features=_read_features(_wanted(card, "features", dict, path), path),
        embedding_size=embedding_size,
        confidence_threshold=_fraction(card, "confidence_threshold", path),
        tags=_read_tags(card, embedding_size, path),
        head=_read_file_entry(card, "head", path),
        replay=_read_file_entry(card, "replay", path),
        folder=folder,
        details=card,
    )


def verify_weights(card: ModelCard) -> bytes:
    """Read the network and compare its SHA-256 with the card's; return its bytes.

    Raises:
        ModelError: if it is missing, unreadable or not the one that the card describes.
    """
    expected = _wanted(dict(card.details), "sha256", str, card.folder / CARD_NAME)
    return _verified(card.weights_path, expected, "network")


def verify_file(card: ModelCard, file: CardFile) -> bytes:
    """Read a file that the card names and compare its SHA-256; return its bytes.

    Raises:
        ModelError: if it is missing, unreadable or not the one that the card describes.
    """
    return _verified(card.folder / file.name, file.sha256, Path(file.name).stem)


def verify_model(card: ModelCard) -> None:
    """Make sure that everything that judges is what the card describes.

    Raises:
        ModelError: if something isn't.
    """
    verify_weights(card)
    if card.head is not None and card.is_adapted:
        verify_file(card, card.head)


def card_text(details: Mapping[str, Any]) -> str:
    """A card as it is written; rows of numbers stand on one line, since people read it too."""
    text = json.dumps(details, indent=2)
    return (
        re.sub(r"\[[-+.\de,\s]+\]", lambda row: f"[{' '.join(row[0][1:-1].split())}]", text) + "\n"
    )


def _verified(path: Path, expected: str, what: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"can't read the {what} ({error.strerror})", path=str(path), hint=_RETRAIN_HINT
        ) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise ModelError(
            f"the {what} is not the one its card describes (SHA-256 differs)",
            path=str(path),
            hint=_RETRAIN_HINT,
        )
    return content


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"can't read the model folder ({error.strerror})", path=str(path), hint=_RETRAIN_HINT
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"not valid JSON ({error})", path=str(path), hint=_RETRAIN_HINT) from error
    if not isinstance(value, dict):
        raise ModelError("not a JSON object", path=str(path), hint=_RETRAIN_HINT)
    return value


def _wanted(card: Mapping[str, Any], key: str, kind: type[_T], path: Path) -> _T:
    value = card.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ModelError(
            f"{key} should be a {kind.__name__}, not {value!r}", path=str(path), hint=_RETRAIN_HINT
        )
    return value


def _fraction(card: Mapping[str, Any], key: str, path: Path) -> float:
    value = card.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ModelError(f"{key} should be from 0 to 1, not {value!r}", path=str(path))
    return float(value)


def _read_labels(folder: Path, in_card: list[Any]) -> tuple[str, ...]:
    """`label_mapping.json` names the outputs: index → fine label."""
    path = folder / LABEL_MAPPING_NAME
    table = _read_json(path)
    size = len(in_card)
    if set(table) != {str(index) for index in range(size)}:
        raise ModelError(f"should name the outputs 0 to {size - 1}, each once", path=str(path))
    labels = tuple(table[str(index)] for index in range(size))
    if not all(isinstance(label, str) and label for label in labels):
        raise ModelError("every label should be a name", path=str(path))
    if len(set(labels)) != size:
        raise ModelError("two outputs have the same label", path=str(path))
    return labels


def _read_canonical(folder: Path, labels: tuple[str, ...]) -> dict[str, str]:
    """`canonical_mapping.json`: fine label → folder label, or misc."""
    path = folder / CANONICAL_MAPPING_NAME
    table = _read_json(path)
    missing = [label for label in labels if label not in table]
    if missing:
        raise ModelError(f"no folder is named for {', '.join(missing)}", path=str(path))
    for label, canonical in table.items():
        if not isinstance(canonical, str) or not canonical:
            raise ModelError(f"{label} should fold to a name, not {canonical!r}", path=str(path))
    return table


def _read_tags(card: Mapping[str, Any], embedding_size: int, path: Path) -> dict[str, TagHead]:
    """Cards of older models have none."""
    try:
        return read_tags(card.get("tags", {}), embedding_size)
    except ValueError as error:
        raise ModelError(str(error), path=str(path), hint=_RETRAIN_HINT) from error


def _read_file_entry(card: Mapping[str, Any], key: str, path: Path) -> CardFile | None:
    """``{"file", "sha256", "base"}``; cards of older models have none."""
    entry = card.get(key)
    if entry is None:
        return None
    try:
        name, sha256, base = entry["file"], entry["sha256"], entry.get("base")
    except (TypeError, KeyError, AttributeError) as error:
        problem = f"{key} should name a file and its sha256"
        raise ModelError(problem, path=str(path), hint=_RETRAIN_HINT) from error
    texts = (name, sha256) if base is None else (name, sha256, base)
    if not all(isinstance(text, str) and text for text in texts) or name != Path(name).name:
        problem = f"{key} should name a file beside the card"
        raise ModelError(problem, path=str(path), hint=_RETRAIN_HINT)
    return CardFile(name, sha256, base)


def _read_features(values: dict[str, Any], path: Path) -> FeatureSpec:
    """Build the spec; every parameter must be there, with its type and a sensible value."""
    values = _EVEN_AXIS | values  # older cards know no other
    kinds = get_type_hints(FeatureSpec)
    names = [field.name for field in fields(FeatureSpec)]
    odd = sorted(set(names) ^ set(values))
    if odd:
        raise ModelError(f"features: missing or unknown {', '.join(odd)}", path=str(path))
    for name in names:
        value, kind = values[name], kinds[name]
        if kind is float and type(value) is int and abs(value) < 1 << 53:
            values[name] = value = float(value)
        if type(value) is not kind or (kind is float and not math.isfinite(value)):
            raise ModelError(f"features.{name} should be {kind.__name__}", path=str(path))
    spec = FeatureSpec(**values)
    _check_features(spec, path)
    return spec


def _check_features(spec: FeatureSpec, path: Path) -> None:
    whole = {
        "kind": spec.kind in ("log_mel", "mfcc"),
        "sr": 1_000 <= spec.sr <= 768_000,
        "n_fft": 16 <= spec.n_fft <= 65_536,
        "n_samples": spec.n_fft <= spec.n_samples <= 10_000_000,
        "hop_length": 0 < spec.hop_length <= spec.n_fft,
        "warp_frames": 0 <= spec.warp_frames <= 1_000,
        "warp_seconds": 1e-4 <= spec.warp_seconds <= 60
        if spec.warp_frames
        else spec.warp_seconds == 0,
        "n_mels": 0 < spec.n_mels <= 1_024,
        "n_mfcc": 0 <= spec.n_mfcc <= spec.n_mels,
        "fmin": 0 <= spec.fmin < spec.fmax,
        "fmax": spec.fmax <= spec.sr / 2,
        "scale": spec.scale != 0,
        "onset_margin": spec.onset_margin >= 0,
        "onset_search_seconds": 0 <= spec.onset_search_seconds <= 60,
    }
    for name, fine in whole.items():
        if not fine:
            raise ModelError(f"features.{name} is out of range", path=str(path))
