"""What corrections teach, measured: an owner who knows the labels drops a source never met.

For each of several sources a network learns from the others only. Most of the source's sounds are the
owner's pack, the rest is what comes later. Of the pack some are corrected, each into its folder, and
a head is fitted to them as `adapt` does; what counts is how much more of the later sounds it then files
right. What is lost elsewhere is measured on other sources that nothing was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.asking import order_to_ask
from drumwatchd.analysis.head import Head
from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF, FINE_LABELS
from drumwatchd.training.adapt import AdaptSettings, Corrections, fit_head, gather
from drumwatchd.training.corpus import Example, read_corpus, source_groups, unit_of
from drumwatchd.training.evaluate import FOLD, FOLDERS, kit_means
from drumwatchd.training.experiments import ALL_GROUPS, kept_network
from drumwatchd.training.feature_cache import cached_features
from drumwatchd.training.progress import Progress
from drumwatchd.training.replay import Replay
from drumwatchd.training.settings import TrainingConfig

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

# Large enough to have 200 sounds to correct and some to measure on: a modern pack, acoustic kits, a
# computer's disks of the eighties, a maker of drum machines, and a soundfont's kits.
SOURCES = (
    "gh-h3",
    "deb-hydrogen-drumkits",
    "gh-dough-amiga-st",
    "maker yamaha",
    "deb-fluidr3-gm",
)
PACK = 0.7  # share of a source that comes first; the rest comes later
COUNTS = (50, 100, 200)
N_SEEDS = 5


@dataclass(frozen=True, slots=True)
class Gain:
    """What corrections of one source brought, as fractions.

    Attributes:
        source: which.
        order: in which sounds were asked about.
        n_corrections: how many were.
        before: of the source's later sounds, those filed right without them.
        after: and with them.
        elsewhere: change of the accuracy averaged over kits on other sources never met.
    """

    source: str
    order: str
    n_corrections: int
    before: float
    after: float
    elsewhere: float


@dataclass(frozen=True)
class Heard:
    """A corpus as one network hears it.

    Attributes:
        examples: the sounds.
        embeddings: float32 [shape=(n, embedding_size)].
        head: the network's own.
        group: number of the group of sources that each sound is in [shape=(n,)].
        held_out: number of the group that the network never met.
    """

    examples: Sequence[Example]
    embeddings: Array
    head: Head
    group: Rows
    held_out: int

    def right(self, head: Head, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which of `rows` a head files where they belong."""
        folded = head.probabilities(self.embeddings[rows]) @ FOLD
        true = [FOLDERS.index(CANONICAL_OF[self.examples[row].label]) for row in rows]
        return np.asarray(folded.argmax(axis=1) == true)

    def kit_accuracy(self, head: Head, rows: Rows) -> float:
        """Accuracy averaged over kits."""
        means = kit_means(self.right(head, rows), [self.examples[row] for row in rows])
        return float(np.mean(list(means.values())))


def simulate(
    config: TrainingConfig,
    *,
    results: Path,
    cache: Path,
    processes: int = 1,
    progress: Progress | None = None,
    settings: AdaptSettings | None = None,
) -> list[Gain]:
    """Measure every source, order and number of corrections.

    Args:
        config: of the networks; trained first where `results` has none.
        results: where networks are kept (`experiments.judge_sources`).
        cache: of features.
        processes: for the features.
        progress: told what is done.
        settings: how heads are fitted; by default as `adapt` does.
    """
    progress = progress or Progress()
    examples = read_corpus(config.corpus)
    groups = source_groups(examples, len(ALL_GROUPS))
    gains = []
    for number, group in enumerate(ALL_GROUPS):
        sources = [source for source in SOURCES if groups.get(source) == number]
        if not sources:
            continue
        network = kept_network(
            config, group, folder=results, cache=cache, processes=processes, progress=progress
        )
        heard = _hear(network, examples, number, config, cache, processes)
        for source in sources:
            progress.say(f"corrections of {source}")
            gains += _correct(heard, source, settings or AdaptSettings())
    return gains


def averages(gains: Sequence[Gain]) -> dict[tuple[str, int], tuple[float, float]]:
    """(gain, change elsewhere), averaged over sources, by order and number of corrections."""
    found: dict[tuple[str, int], list[Gain]] = {}
    for gain in gains:
        found.setdefault((gain.order, gain.n_corrections), []).append(gain)
    return {
        key: (
            float(np.mean([gain.after - gain.before for gain in some])),
            float(np.mean([gain.elsewhere for gain in some])),
        )
        for key, some in found.items()
    }


def render(gains: Sequence[Gain]) -> str:
    """The table of docs/learning.md, as Markdown."""
    sources = list(dict.fromkeys(gain.source for gain in gains))
    keys = list(dict.fromkeys((gain.order, gain.n_corrections) for gain in gains))
    by_key: Mapping[tuple[str, int, str], Gain] = {
        (gain.order, gain.n_corrections, gain.source): gain for gain in gains
    }
    before = [f"{by_key[(*keys[0], source)].before:.3f}" for source in sources]
    rows = [["", "none", *before, "", ""]]
    for (order, count), (gained, elsewhere) in averages(gains).items():
        after = [f"{by_key[order, count, source].after:.3f}" for source in sources]
        rows.append([order, str(count), *after, f"{100 * gained:+.1f}", f"{100 * elsewhere:+.1f}"])
    heads = ["asked about", "corrections", *sources, "gained", "elsewhere, over kits"]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _hear(
    network: Path,
    examples: Sequence[Example],
    held_out: int,
    config: TrainingConfig,
    cache: Path,
    processes: int,
) -> Heard:
    features = cached_features(
        examples,
        config.features,
        n_versions=1,
        seed=config.seed,
        folder=cache,
        processes=processes,
    )
    model = keras.models.load_model(network, compile=False)
    plain = features.x[:, 0].astype(np.float32)
    embeddings = model.predict(plain, batch_size=256, verbose=0)["embedding"]
    groups = source_groups(examples, len(ALL_GROUPS))
    return Heard(
        features.examples,
        embeddings.astype(np.float16).astype(np.float32),  # as the index keeps them
        Head(FINE_LABELS, *model.get_layer("logits").get_weights()),
        np.array([groups[unit_of(example)] for example in features.examples]),
        held_out,
    )


def _correct(heard: Heard, source: str, settings: AdaptSettings) -> list[Gain]:
    """Every order and number for one source, averaged over ways to part it."""
    is_source = np.array([unit_of(example) == source for example in heard.examples])
    elsewhere = np.flatnonzero((heard.group == heard.held_out) & ~is_source)
    replay = _replay(heard)
    before_elsewhere = heard.kit_accuracy(heard.head, elsewhere)
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for seed in range(N_SEEDS):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(np.flatnonzero(is_source))
        pack, later = np.split(rows, [round(PACK * len(rows))])
        before = float(heard.right(heard.head, later).mean())
        for order, asked in _orders(heard, pack, rng).items():
            for count in COUNTS:
                corrections = _corrections(heard, pack[asked[:count]])
                fitted = fit_head(heard.head, replay, corrections, settings)
                head = Head(FINE_LABELS, fitted.kernel, fitted.bias)
                after = float(heard.right(head, later).mean())
                change = heard.kit_accuracy(head, elsewhere) - before_elsewhere
                found.setdefault((order, count), []).append((before, after, change))
    return [
        Gain(source, order, count, *(float(value) for value in np.mean(values, axis=0)))
        for (order, count), values in found.items()
    ]


def _orders(heard: Heard, pack: Rows, rng: np.random.Generator) -> dict[str, list[int]]:
    """Which sounds of a pack an owner says something about, and in which order.

    At random; as `review` lists them; or those that stand in the wrong folder, as long as there are
    some, as an owner does who only ever moves files.
    """
    most = max(COUNTS)
    embeddings = heard.embeddings[pack]
    confidences = (heard.head.probabilities(embeddings) @ FOLD).max(axis=1)
    by_chance = rng.permutation(len(pack))
    wrong = ~heard.right(heard.head, pack)
    return {
        "at random": by_chance[:most].tolist(),
        "as `review` lists them": order_to_ask(embeddings, confidences, most),
        "only what is wrong": [row for row in by_chance.tolist() if wrong[row]][:most],
    }


def _corrections(heard: Heard, rows: Rows) -> Corrections:
    """An owner puts each sound into the folder where it belongs."""
    examples = [heard.examples[row] for row in rows]
    return gather(
        [CANONICAL_OF[example.label] for example in examples],
        heard.embeddings[rows],
        [example.kit for example in examples],
        base=FINE_LABELS,
        targets=CANONICAL_LABELS,
        canonical_of=CANONICAL_OF,
    )


def _replay(heard: Heard) -> Replay:
    """What the network learned from, as a model brings it along."""
    kits: dict[tuple[str, str], int] = {}
    numbers = [kits.setdefault((e.source, e.kit), len(kits)) for e in heard.examples]
    truth = [FINE_LABELS.index(example.label) for example in heard.examples]
    held_out = heard.group == heard.held_out
    return Replay(FINE_LABELS, heard.embeddings, np.array(truth), np.array(numbers), held_out)
