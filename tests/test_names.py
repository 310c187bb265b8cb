"""What names say, and what that adds to what is heard."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import drums
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.labels import CANONICAL_LABELS, FINE_LABELS, MISC, judge
from drumwatchd.analysis.lexicon import ENTRIES, Kind, plain
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.names import SURE, evidence, fuse, weigh
from drumwatchd.analysis.settings import AnalysisSettings

# What is named, and the name: "-" where nothing is, "a/b" where one is as likely as the other,
# "loop" where it is no single hit, "not a" where only that is ruled out.
NAMES = """
Kick                 Kick 01.wav
Kick                 kick_hard_03.wav
Kick                 KICK-PUNCHY.WAV
Kick                 808Kick12.wav
Kick                 AcKik03.wav
Kick                 BD0025.WAV
Kick                 bd01_soft.wav
Kick                 bd/004.wav
Kick                 RolandTR606-BD.wav
Kick                 Bass Drum 22in.aif
Kick                 bassdrum-ff.flac
Kick                 KickDrum_Maple_v127_rr4.wav
Kick                 Kick In D112.wav
Kick                 Kick Out 47fet.wav
Kick                 Deep House Kicks/DHK_014.wav
Kick                 Kicks by Bob/punch.wav
Kick                 Drums/BDs/long tail.wav
Kick                 TECH_KICK_F#_03.wav
Kick                 Kick (no reverb).wav
Kick                 Grosse Trommel 03.wav
Kick                 Große Trommel/mp 2.wav
Kick                 grosse caisse feutre.wav
Kick                 Bombo 22 Seco.wav
Kick                 Cassa_rr2.aif
Kick                 Gran Cassa pp.aif
Kick                 Bumbo fechado.wav
Kick                 バスドラム_03.wav
Kick                 ｷｯｸ 12.wav
Kick                 Stopa 2.wav
Snare                Snare.wav
Snare                snare-07.flac
Snare                SD 14x5 Brass.wav
Snare                SD0010.WAV
Snare                sd/rumba.wav
Snare                SNR_tight.wav
Snare                Snr4.aif
Snare                SnareDrum Center 112.wav
Snare                Snare Top SM57.wav
Snare                Snare OH L.wav
Snare                Trap Snares/crispy (3).wav
Snare                Piccolo Snare - no ring.wav
Snare                Metal Snare 04.wav
Snare                FX Snare 2.wav
Snare                Ghost snare brushed.wav
Snare                Snare no kick bleed.wav
Snare                Caisse Claire 14 - Frappe 2.wav
Snare                caisseclaire_03.wav
Snare                Kleine Trommel/03.wav
Snare                Caja 02.wav
Snare                Redoblante abierto.wav
Snare                Rullante 14.aif
Snare                Caixa_seca_05.wav
Snare                スネア 03.wav
Snare                малый барабан 2.wav
Rim                  Rim.wav
Rim                  RimShot 808.wav
Rim                  RS.WAV
Rim                  side-stick 3.wav
Rim                  SideStick_02.wav
Rim                  Cross Stick birch.wav
Rim                  xstick04.wav
Rim                  Snares/Rim 3.wav
Hihat                HH.wav
Hihat                hh27.wav
Hihat                HiHat Closed 04.wav
Hihat                Hi-Hat_Open_2.wav
Hihat                CHH 1.wav
Hihat                OHH_long.wav
Hihat                PHH.wav
Hihat                CH.WAV
Hihat                OH10.WAV
Hihat                OpenHat_12.wav
Hihat                closedhat9.wav
Hihat                ab2closedhh.wav
Hihat                Hats/tick 3.wav
Hihat                Closed Hats/vinyl.wav
Hihat                metal hat.wav
Hihat                Hat Foot 2.wav
Hihat                charley fermé 2.wav
Hihat                Charleston ouvert.wav
Hihat                Chimbal aberto 01.wav
Hihat                オープンハイハット.wav
Hihat                hi hat cymbal 14in.wav
Tom                  Tom 1.wav
Tom                  FloorTom_ff_2.wav
Tom                  floor tom 16.wav
Tom                  LT.wav
Tom                  MT 3.wav
Tom                  HT00.WAV
Tom                  TOM-HI.WAV
Tom                  lowtom3.wav
Tom                  Toms/16in/014.wav
Tom                  tom_tom 2.wav
Tom                  Standtom 2.wav
Tom                  Tom Basse 16.wav
Tom                  Rack Toms - Dry/a.wav
Tom                  フロアタム 2.wav
Crash                Crash 16.wav
Crash                CRASH_L_edge.wav
Crash                crashcymbal.wav
Crash                crash-cymbal-left.flac
Crash                Cymbals/Crash 2.wav
Crash                Crashbecken 18.wav
Ride                 Ride 20.wav
Ride                 RideBell 3.wav
Ride                 ride_cymbal_tip.wav
Ride                 Ride - Bell.wav
Ride                 ライド.wav
China                China 18.wav
Splash               splash_8in.wav
Splash               6-Splash-V01-SABIAN-HH-6.wav
Hihat                HHats-CL-V03-SABIAN-AAX.wav
Crash                18-CrshCHOKE-V04.wav
Cymbal               Cym 4.wav
Cymbal               Becken/012.wav
Cymbal               Piatti/mf.aif
Cymbal               Platillo 3.wav
Cymbal               CY.WAV
Crash/Ride           Crash Ride 18.wav
Clap                 Clap 909.wav
Clap                 CP02.WAV
Clap                 cp/3.wav
Clap                 handclaps-room.wav
Clap                 Palmas 2.wav
Clap                 Perc Clap 3.wav
Cowbell              Cowbell.wav
Cowbell              CB.WAV
Cowbell              cow_bell_2.wav
Cowbell              Cencerro grave.wav
Cowbell              カウベル.wav
Conga                Conga Hi.wav
Conga                LC50.WAV
Conga                Percussion/Congas/slap.wav
Bongo                bongo-low.wav
Shaker               Shaker 16ths 2.wav
Shaker               Chocalho 3.wav
Maracas              MA.WAV
Maracas              Maracas 70.wav
Cabasa               Cabasa short.wav
Tambourine           Tamb 4.wav
Tambourine           Pandeiro_02.wav
Tambourine           Schellenkranz.wav
Clave                CL.WAV
Clave                Claves.wav
Guiro                Güiro largo.wav
Cuica                Cuíca 3.wav
Agogo                Agogô Hi.wav
Triangle             Triangle Open.wav
Vibraslap            Vibraslap.wav
Timbale              Timbales Hi 2.wav
Timpani              Pauke mit Wirbel C.wav
Perc                 Perc 12.wav
Perc                 PRC_wood.wav
Perc                 Percusión 4.wav
Perc                 WoodBlock Lo.wav
Perc                 Djembe tone.wav
FX                   FX/riser 4.wav
FX                   Bass 03 C#.wav
FX                   Synth Pad Warm.wav
Vox                  Vox 'hey' 2.wav
Noise                White Noise hit.wav
Bell                 Bell 3.wav
Crash/Reverse        Reverse Crash.wav
Kick/Clap            Kick+Clap layered.wav
Snare/Clap           Snare & Clap 3.wav
Snare                Kicks/Snare 3.wav
Kick                 Snares/Kick stray.wav
Hihat                Toms/Hats/003.wav
Snare                Kick Ass Drums/Snare 01.wav
Kick                 Rim Shot Studios - Kick 04.wav
Snare                Tom's kit/Snare 3.wav
Tom                  Tom Petty kit/Toms/3.wav
loop                 kick snare loop.wav
loop                 DrumLoop 120.wav
loop                 Top Loop no kick.wav
loop                 Drum Loops/funky 3.wav
loop                 Snare Fill 4.wav
loop                 snare roll 2.wav
loop                 House Groove 02.wav
loop                 breakbeat_7.wav
loop                 128bpm_drums_A.wav
loop                 Kick_120 BPM.wav
loop                 Boucle batterie 3.wav
loop                 Loops/Kick 4.wav
Kick                 Loops & One Shots/Kick 4.wav
Kick                 Techno 130bpm/Kick.wav
Kick                 Loops/One Shots/Kick 1.wav
not Kick             nokick.wav
not Kick             no kick.wav
not Snare            without snare 3.wav
not Kick             kickless 2.wav
not Kick             non-kick.wav
not Kick             ohne Kick.wav
not Snare            sans caisse claire.wav
not Kick             sin bombo.wav
Kick                 No 1 Kick.wav
Kick                 Kick No 5.wav
Snare/Tom            Snares off 1.wav
-                    untitled 3.wav
-                    001.wav
-                    .wav
-                    SD Card Recording 3.wav
-                    sd card/0001.wav
-                    Kick Drum Records/0014.wav
-                    Rim Shot Studios/a 03.wav
-                    Crash Test Pack/04.wav
-                    Crash Bandicoot/jump.wav
-                    Ride the Lightning/Master 3.wav
-                    Clap Your Hands/7.wav
-                    Tom's kit/1.wav
-                    Tom Petty Drums/3.wav
-                    Tomcat/3.wav
-                    Tomorrow 2.wav
-                    Hatsune Miku/hello.wav
-                    That's it.wav
-                    Chat room.wav
-                    Pride 4.wav
-                    Bride 2.wav
-                    Sidekick studio.wav
-                    Nord pedals/3.wav
-                    All around 2.wav
-                    Volvox/7.wav
-                    Kickstarter rewards/3.wav
-                    Metal Kit/3.wav
-                    Death Metal Drums/01.wav
-                    Drum and Bass Vol 2/012.wav
-                    Bell Labs/17.wav
-                    HT Records/4.wav
-                    MC-303/12.wav
-                    CR-78/04.wav
-                    sd.backup/5.wav
-                    Trimmed 4.wav
-                    Brimstone.wav
-                    Custom kit/4.wav
-                    Phantom 3.wav
-                    Atom/6.wav
-                    Bottom End/3.wav
-                    Splashdown Games/3.wav
-                    Made in China/7.wav
-                    Vertraege/Besprechung 4.wav
Kick                 Drum ReFill/Kick 01.wav
Kick                 LoopMasters_Kick_01.wav
Kick                 Prime Loops - Trap Kicks/Kick 01.wav
Hihat                Function Loops - Techno/Hats/3.wav
Kick                 Samples & Loops/Kicks/01.wav
Kick                 Lo-Fi Beats/Kick 1.wav
Kick                 Amen Break/kick1.wav
Kick                 Breakbeat/Kick 01.wav
Kick                 Roland Rhythm 77/BD.wav
Snare                Rock & Roll/Snare 3.wav
Snare                Rock'n'Roll Snare 3.wav
Snare                Rock\u2019n\u2019Roll/Snare.wav
Kick                 SEM Kick 01.wav
Kick                 Kick_NoLoop.wav
-                    Drum & Bass/012.wav
-                    Drum'n'Bass 03.wav
-                    Pad 05.wav
-                    Synth Drum 03.wav
-                    Beats/014.wav
-                    MC-707/014.wav
-                    Yamaha RS7000/014.wav
-                    CR-5000/014.wav
loop                 Prime Loops/Drum Loops/07.wav
loop                 Beat 07.wav
"""
ROWS = [tuple(re.split(r"\s{2,}", line, maxsplit=1)) for line in NAMES.strip().splitlines()]
NOTHING = dict.fromkeys(FINE_LABELS, 1 / 34)
JUDGE = functools.partial(judge, threshold=0.5, top_k=3)


def said(path: str) -> str:
    """What a name says, as the table writes it."""
    found = evidence(path)
    if found is None:
        return "-"
    if found.probabilities is None:
        return "loop"
    best, *rest = sorted(found.probabilities.items(), key=lambda item: -item[1])
    if best[1] < 1.5 * rest[14][1]:
        return f"not {rest[-1][0]}"
    return "/".join(label for label, p in (best, *rest) if p > 0.6 * best[1])


def read(path: str) -> Mapping[str, float]:
    """The probabilities that a name must give."""
    found = evidence(path)
    assert found is not None
    assert found.probabilities is not None
    return found.probabilities


def ranked(path: str) -> list[str]:
    """Labels, the likeliest first."""
    return sorted(FINE_LABELS, key=lambda label: -read(path)[label])


@pytest.mark.parametrize(("wanted", "path"), ROWS, ids=[path for _, path in ROWS])
def test_names_in_the_manner_of_packs(wanted: str, path: str) -> None:
    """What a musician reads in a name is what is read."""
    says = said(path)
    if wanted in ("Cymbal", "Perc"):
        says = says.split("/")[0]  # general words leave room for what they may hold
    assert sorted(says.split("/")) == sorted(wanted.split("/"))


def test_the_table_is_large_and_speaks_several_languages() -> None:
    """Whoever takes rows out should notice."""
    assert len(ROWS) >= 230
    assert sum(not path.isascii() for _, path in ROWS) >= 14


# -- properties of reading --------------------------------------------------------------------

WORDS = sorted({word for phrase in ENTRIES for word in phrase})
ANY_NAME = st.one_of(
    st.text(max_size=40),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), max_size=8).map("_".join),
    st.lists(st.sampled_from(WORDS), max_size=5).map("/".join),
)
NOUNS = {
    phrase[0]: next(iter(entry.spread))
    for phrase, entry in ENTRIES.items()
    if entry.kind == Kind.NOUN and len(phrase) == 1 and len(entry.spread) == 1
}


@given(ANY_NAME)
def test_any_name_gives_probabilities_or_nothing(name: str) -> None:
    """Whatever a file is called: 34 probabilities above zero that sum to one, or a loop, or None."""
    found = evidence(name)
    if found is None:
        return
    assert 0 <= found.loop < 1
    assert (found.probabilities is None) == (found.loop > 0)
    if found.probabilities is not None:
        assert tuple(found.probabilities) == FINE_LABELS
        assert sum(found.probabilities.values()) == pytest.approx(1)
        assert min(found.probabilities.values()) > 0


@given(st.sampled_from(sorted(NOUNS)), st.integers(0, 9999), st.sampled_from("_- .("))
def test_case_digits_and_separators_change_nothing(noun: str, number: int, separator: str) -> None:
    """kick3, KICK_03 and Kick (3 are one statement."""
    plain_name = evidence(f"{noun}.wav")
    assert plain_name is not None
    for spelled in (noun, noun.upper(), noun.capitalize()):
        assume(plain(spelled) == plain(noun))
        assert evidence(f"{spelled}{separator}{number}.wav") == plain_name
        assert evidence(f"{number}{separator}{spelled}.wav") == plain_name


@given(st.sampled_from(sorted(NOUNS)), st.sampled_from(sorted(NOUNS)))
def test_the_file_outweighs_its_folder(mine: str, other: str) -> None:
    """Where both name something, the file's own name wins, and the folder lowers it."""
    assume(NOUNS[mine] != NOUNS[other])
    label, inside = NOUNS[mine], f"{other}/{mine}.wav"
    assert ranked(inside)[:2] == [label, NOUNS[other]]
    assert read(inside)[label] < read(f"{mine}.wav")[label]


@given(st.sampled_from(sorted(NOUNS)), st.sampled_from(sorted(NOUNS)))
def test_the_nearer_folder_outweighs_the_farther(near: str, far: str) -> None:
    """The file's name says nothing here; whatever stands between says nothing, too."""
    assume(NOUNS[near] != NOUNS[far])
    assert ranked(f"{far}/Disc 2/{near}/take 04.wav")[:2] == [NOUNS[near], NOUNS[far]]


@pytest.mark.parametrize("folder", ["Kicks/Snares", "tomtom" * 40, "no kick or " * 20, "\udcff"])
def test_paths_as_long_as_any_are_read_at_once(folder: str) -> None:
    """Deep folders don't multiply to nothing, and long compounds are cut in no time."""
    path = "/".join([folder] * (4096 // len(folder)))
    assert said(f"{path}/kick.wav") == "Kick"
    assert said(f"{path}/{'tomtom' * 40}x.wav")


@given(st.sampled_from(sorted(NOUNS)))
def test_a_denied_instrument_is_never_the_likeliest(noun: str) -> None:
    """No language's "without" is read over."""
    for name in (f"no {noun}", f"no_{noun}_2", f"without-{noun}", f"ohne {noun}", f"sans {noun}"):
        probabilities = read(f"{name}.wav")
        assert probabilities[NOUNS[noun]] == min(probabilities.values())


# -- fusing -----------------------------------------------------------------------------------


@st.composite
def distributions(draw: st.DrawFn) -> dict[str, float]:
    """Any probabilities of the 34, zeros among them."""
    weights = draw(st.lists(st.floats(0, 1), min_size=34, max_size=34).filter(lambda w: sum(w) > 0))
    return {label: w / sum(weights) for label, w in zip(FINE_LABELS, weights, strict=True)}


def certain(label: str) -> dict[str, float]:
    return dict.fromkeys(FINE_LABELS, 0.0) | {label: 1.0}


@given(distributions(), distributions())
def test_fused_probabilities_are_probabilities(
    heard: dict[str, float], named: dict[str, float]
) -> None:
    """They sum to one, and none is ruled out."""
    fused = fuse(heard, named)
    assert tuple(fused) == FINE_LABELS
    assert sum(fused.values()) == pytest.approx(1)
    assert min(fused.values()) > 0


@given(distributions())
def test_a_name_that_says_nothing_in_particular_keeps_the_order(heard: dict[str, float]) -> None:
    """Even odds change no ranking."""
    fused = fuse(heard, NOTHING)
    for one in FINE_LABELS:
        for other in FINE_LABELS:
            if heard[one] > heard[other] + 1e-9:
                assert fused[one] > fused[other]


@given(distributions(), st.sampled_from(FINE_LABELS))
def test_a_name_raises_its_own_label_and_no_other(heard: dict[str, float], label: str) -> None:
    """All others lose in the same proportion."""
    before, after = fuse(heard, NOTHING), fuse(heard, certain(label))
    assert after[label] >= before[label]
    assert all(after[other] <= before[other] + 1e-12 for other in FINE_LABELS if other != label)


def test_neither_witness_has_a_veto() -> None:
    """Certain of different labels, both stay possible; what neither says is far behind."""
    fused = fuse(certain("Kick"), certain("Snare"))
    assert fused["Kick"] > 0.01
    assert fused["Snare"] > 0.01
    assert fused["Tom"] < 0.01


def test_agreement_is_surer_than_either() -> None:
    """Two that say the same say it louder."""
    heard = dict.fromkeys(FINE_LABELS, 0.4 / 33) | {"Kick": 0.6}
    assert fuse(heard, certain("Kick"))["Kick"] > 0.95


def test_a_model_may_know_fewer_labels() -> None:
    """Only what the model knows comes out."""
    fused = fuse({"Kick": 0.5, "Snare": 0.5}, certain("Snare"))
    assert set(fused) == {"Kick", "Snare"}
    assert fused["Snare"] > 0.8


# -- the verdict of both ----------------------------------------------------------------------


def heard_as(**shares: float) -> dict[str, float]:
    rest = (1 - sum(shares.values())) / (34 - len(shares))
    return dict.fromkeys(FINE_LABELS, rest) | shares


@given(distributions(), st.sampled_from(["001.wav", "Tom's kit/1.wav", "", "Boom/x 2.flac"]))
def test_without_evidence_the_answer_is_the_sounds(heard: dict[str, float], path: str) -> None:
    """Not nearly the same verdict: the same."""
    assert weigh(path, heard, JUDGE) == JUDGE(heard)


def test_a_name_settles_what_the_sound_leaves_open() -> None:
    """Crash or ride, the name knows; and the reason says that it was asked."""
    heard = heard_as(Crash=0.48, Ride=0.45)
    verdict = weigh("Ride 20.wav", heard, JUDGE)
    assert (verdict.label, verdict.review) == ("Ride", None)
    assert verdict.confidence > 0.9
    assert verdict.reason.endswith("; its name says Ride")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("Kick+Clap.wav", "its name says Clap or Kick"),
        ("Becken 3.wav", "its name says Crash or Cymbal or Ride"),
        ("no kick.wav", "its name rules some out"),
    ],
)
def test_the_reason_says_what_was_read(path: str, words: str) -> None:
    """All that is likely by the name, or that it says only what it isn't."""
    assert weigh(path, heard_as(Tom=0.9), JUDGE).reason.endswith(f"; {words}")


def test_a_conflict_is_marked_and_says_who_says_what() -> None:
    """Each is sure of another folder."""
    verdict = weigh("Kick 01.wav", heard_as(Tom=0.97), JUDGE)
    assert verdict.review == "its name says Kick, it sounds like Tom"


def test_a_conflict_about_what_has_no_folder_names_the_label() -> None:
    """Misc is no instrument."""
    verdict = weigh("Clap 01.wav", heard_as(Snare=0.97), JUDGE)
    assert verdict.review == "its name says Clap, it sounds like Snare"


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        ("Kick 01.wav", heard_as(Tom=SURE - 0.05)),
        ("Kicks/Snare.wav/1.wav", heard_as(Tom=0.97)),
        ("Perc 01.wav", heard_as(Tom=0.97)),
        ("Cymbal 2.wav", heard_as(Ride=0.97)),
        ("Kick+Clap.wav", heard_as(Tom=0.97)),
        ("Rim 3.wav", heard_as(Snare=0.97)),
        ("no kick.wav", heard_as(Kick=0.97)),
    ],
)
def test_no_conflict_where_one_isnt_sure_or_the_folder_is_the_same(
    path: str, heard: Mapping[str, float]
) -> None:
    """What nobody claims needs nobody's time."""
    assert weigh(path, heard, JUDGE).review is None


def test_a_loop_goes_to_misc_and_says_so() -> None:
    """Its folders lose what the name takes; they still sum to one."""
    verdict = weigh("Kick Loop 120bpm.wav", heard_as(Kick=0.6), JUDGE)
    assert (verdict.label, verdict.folded) == (MISC, MISC)
    assert verdict.reason == "its name says that it is a loop"
    assert verdict.confidence == verdict.probabilities[MISC] > 0.9
    assert sum(verdict.probabilities.values()) == pytest.approx(1)


def test_a_loop_that_sounds_like_one_hit_is_marked() -> None:
    """The name is believed, and a person is asked."""
    verdict = weigh("Kick Loop.wav", heard_as(Kick=0.97), JUDGE)
    assert verdict.review == "its name says loop, it sounds like one hit"
    assert weigh("FX Loop.wav", heard_as(FX=0.97), JUDGE).review is None


def test_wanted_fine_labels_count_as_folders() -> None:
    """Rim and snare are two answers to who asks for both."""
    both = functools.partial(judge, threshold=0.5, top_k=3, targets=("Snare", "Rim"))
    verdict = weigh("Rim 3.wav", heard_as(Snare=0.97), both)
    assert verdict.review == "its name says Rim, it sounds like Snare"


# -- in the analysis --------------------------------------------------------------------------


def test_names_count_only_where_they_are_asked_for(tmp_path: Path) -> None:
    """Sound alone is the default, whatever the file is called."""
    path = drums.write(tmp_path / "a.wav", "kick")
    alone = AnalysisSettings(str(shipped_model()))
    named = AnalysisSettings(str(shipped_model()), use_names=True)
    assert analyse(path, alone, name="Snares/Snare 3.wav") == analyse(path, alone)
    assert analyse(path, named, name="001.wav") == analyse(path, alone)
    verdict = analyse(path, named, name=os.path.join("Snares", "Snare 3.wav")).verdict
    assert verdict.review == "its name says Snare, it sounds like Kick"


def test_silence_is_silence_whatever_its_name(tmp_path: Path) -> None:
    """Nothing is heard, and nothing is in doubt."""
    path = drums.write(tmp_path / "a.wav", "silence")
    settings = AnalysisSettings(str(shipped_model()), use_names=True)
    verdict = analyse(path, settings, name="Kick.wav").verdict
    assert (verdict.label, verdict.reason, verdict.review) == (MISC, "silent", None)


def test_the_lexicon_names_only_labels_and_sums_to_one() -> None:
    """Every entry that names anything names fine labels, as probabilities."""
    for entry in ENTRIES.values():
        assert entry.spread.keys() <= set(FINE_LABELS)
        assert not entry.spread or sum(entry.spread.values()) == pytest.approx(1)
    assert {label for entry in ENTRIES.values() for label in entry.spread} >= {
        *CANONICAL_LABELS,
        "Clap",
        "Cowbell",
        "Vibraslap",
    }
