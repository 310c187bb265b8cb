"""Words that file and folder names are made of, in several languages, and what each says.

Plurals that end in "s" or "es" need no entry of their own. An underscore joins the words of a
phrase. Accents and case are left out: `drumwatchd.analysis.names` reads names without them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from drumwatchd.analysis.labels import FINE_LABELS


class Kind(Enum):
    """What part a word plays in a name."""

    NOUN = "names an instrument"
    CODE = "two letters of drum machines; an instrument where nothing else is named"
    BARE_CODE = "the same, but only where it is all that the name says"
    LOOSE = "an instrument only where nothing better is named: often an adjective or a genre"
    REVERSE = "whatever is named is played backwards"
    LOOP = "more than one hit"
    TEMPO = "more than one hit, if a file is called so and not a folder"
    LOOSE_LOOP = "more than one hit, if a file is called so and no instrument is named"
    ONE_SHOT = "one hit"
    PLAIN = "says how it sounds or counts it, never what it is"
    NEGATION = "the instrument that follows is not there"
    DISOWNS = "the instrument before it is part of another name"
    NEUTRAL = "a phrase that holds an instrument's word and means none"


@dataclass(frozen=True, slots=True)
class Entry:
    """One word or phrase; `spread` is over the fine labels and sums to 1, empty for no label."""

    kind: Kind
    spread: Mapping[str, float]


# A key names a fine label, or several with their weights.
_NOUNS = {
    "Kick": """kick kik kck kickdrum bassdrum bass_drum bdrum gran_cassa grancassa cassa grosse_caisse
        gr_caisse grosse_trommel grossetrommel basstrommel bass_trommel basstrumma bombo bumbo stopa
        grote_trom kikku basudora basu_doramu キック バスドラ バスドラム бочка""",
    "Snare": """snare snr snar snaredrum snare_drum caisse_claire caisseclaire kleine_trommel
        kleinetrommel schnarrtrommel snaretrommel caja redoblante tarola rullante rullanti caixa tarol
        virveltrumma werbel kleine_trom sunea スネア スネアドラム малый_барабан""",
    "Snare:5 Tom:3 Timbale:2": "snare_off snares_off snare_wires_off wires_off",
    "Rim": """rim rimshot rim_shot rimclick rim_click sidestick side_stick crossstick cross_stick
        xstick x_stick cerclage aro rimu リム リムショット サイドスティック""",
    "Rim:6 Snare:4": "snare_rim snare_rimshot snare_sidestick rim_snare snare_side_stick",
    "Hihat": """hat ohh chh phh hho hhc hhp hihat hi_hat high_hat highhat openhat closedhat
        pedalhat charley charleston charlestone chimbal chimbau contratempo contratiempo
        haihatto ハイハット ハット хэт хай_хэт""",
    "Crash": "crash crsh crashbecken crash_becken kurasshu クラッシュ крэш",
    "Ride": "ride ridebecken ride_becken ridebell raido ライド райд",
    "China": "china chinabecken チャイナ",
    "Splash": "splash supurasshu スプラッシュ",
    "Sizzle": "sizzle",
    "Tom": """tom tomtom tom_tom floortom floor_tom racktom rack_tom lowtom hightom midtom standtom
        stand_tom hangetom haengetom tamu フロアタム タム том""",
    "Timpani:5 Tom:5": "timpano",
    "Tom:5 Perc:5": "surdo taiko",
    "Timbale": "timbale timbal",
    "Timpani": "timpani pauke pauken kettledrum kettle_drum ティンパニ",
    "Clap": """clap clp handclap hand_clap klatschen klatscher handeklatschen palmada palma
        claquement kurappu クラップ ハンドクラップ хлопок""",
    "Cowbell": "cowbell cow_bell cowb kuhglocke cencerro campanaccio kauberu カウベル",
    "Conga": "conga tumbadora konga コンガ конга",
    "Bongo": "bongo ボンゴ бонго",
    "Shaker": "shaker shkr shk chocalho ganza caxixi eggshaker sonajero sheka シェイカー シェーカー",
    "Maracas": "maracas maraca rumbakugel rumbakugeln マラカス",
    "Cabasa": "cabasa cabaza afuche カバサ",
    "Tambourine": """tambourine tamb tambo tamborine tambourin pandeiro pandereta pandero tamburello
        tamburin schellenkranz schellenring tanbarin タンバリン бубен""",
    "Clave": "clave clv kurabesu クラベス",
    "Perc:7 Clave:3": "woodblock wood_block woodblk holzblock templeblock temple_block castanet",
    "Guiro": "guiro reco_reco recoreco ギロ",
    "Cuica": "cuica クイーカ",
    "Agogo": "agogo アゴゴ",
    "Triangle": "triangle triangel triangolo triangulo トライアングル",
    "Vibraslap": "vibraslap vibra_slap vibslap",
    "Perc:6 Conga:2 Bongo:1 Tom:1": """djembe darbuka darabuka doumbek cajon tabla udu tombak bata
        bodhran kalimba talking_drum カホン""",
    "Cymbal:4 Metal:3 FX:3": "gong tamtam",
    "Crash:7 China:3": "china_crash crash_china",
    "Crash:5 Ride:5": "crash_ride",
    "Crash:7 Splash:3": "crash_splash splash_crash",
}  # fmt: skip
_CODES = {
    "Kick": "bd kd",
    "Snare": "sd sn",
    "Rim": "rs",
    "Hihat": "hh oh ch ph",
    "Tom": "lt mt ht ft",
    "Clap": "cp",
    "Cowbell": "cb",
    "Cymbal:6 Crash:3 Ride:1": "cy",
    "Conga": "lc mc hc",
    "Clave": "cl",
    "Maracas": "ma",
}
# Elsewhere these are machines, initials and channels.
_BARE_CODES = {"Crash": "cr", "Ride": "rd", "Shaker": "sh", "Tambourine": "tb"}
_LOOSE = {
    "Cymbal:8 Crash:6 Ride:4 Splash:1 China:1 Hihat:1": """cymbal cym cymb becken cymbale platillo
        piatto piatti prato shinbaru シンバル тарелка""",
    """Perc:20 Tom:20 Conga:8 Bongo:8 Rim:8 Clave:6 Cowbell:6 Shaker:6 Tambourine:5 FX:5 Clap:4
        Agogo:3 Timbale:3 Bell:2 Metal:2 Guiro:2 Triangle:2 Cabasa:2 Maracas:2 Vibraslap:1""": """perc
        prc perk percussion percussive perkussion percusion percussione percussioni percussao
        pakasshon パーカッション""",
    "Bell": "bell glocke campana cloche ベル",
    "Metal": "metal metallic anvil metall",
    "Noise": "noise whitenoise white_noise rauschen bruit ruido rumore noizu ノイズ шум",
    "FX": """fx sfx efx effect effekt effet efecto effetto efeito riser downlifter uplifter sweep
        zap laser whoosh swoosh glitch impact エフェクト bass bassline synth chord guitar piano
        organ pluck arp lead strings brass melody ambience atmosphere drone""",
    "Vox": """vox voc vocal voice shout chant speech stimme voix voz voce boisu ボーカル ボイス
        голос""",
    "Clap:5 Perc:5": "snap fingersnap finger_snap schnipsen スナップ",
    "Rim:4 Perc:6": "stick click klick",
}
_REVERSE = "reverse reversed rvs rvrs reversa inverso rovescio ruckwarts backwards リバース"
_LOOPS = """loop drumloop fill drumfill roll drumroll boucle bucle schleife フィル
    ループ"""
_LOOSE_LOOPS = "beat break breakbeat groove rhythm pattern top_line ビート"
_ONE_SHOTS = "one_shot oneshot single_hit single_shot hit einzelschlag ワンショット"
_NEGATIONS = "no non not without minus sans ohne kein keine keinen sin senza zonder nashi"
# "Ride the Lightning", "Kick Drum Records", "Crash Test", "Clap Your Hands", "Hat Trick"
_DISOWNS = """the your my me it into ass back off start starter boxing record records recording
    recordings studio studios productions audio music media labs brothers gmbh inc ltd llc company
    co magazine academy test course bandicoot trick cat petty waits yorke jones cruise misch"""
# "Prime Loops" sells single hits, too; "MC-707" is a machine.
_NEUTRAL = """sd_card rock_n_roll rock'n_roll rock_and_roll rock_roll drum_n_bass drum'n_bass
    drum_and_bass drum_bass synth_drum prime_loop producer_loop function_loop future_loop loop_master
    loop_cloud
    heavy_metal death_metal black_metal nu_metal thrash_metal major_tom uncle_tom peeping_tom
    joy_ride free_ride let's_ride off_beat made_in_china snare_bleed kick_bleed hat_bleed tom_bleed
    cr_68 cr_78 cr_1000 cr_5000 cr_8000 mc_101 mc_202 mc_303 mc_307 mc_505 mc_707 mc_808 mc_909 cp_70
    cp_80 mt_32 mt_40 mt_70 mt_500 rd_6 rd_8 rd_9 rs_7000 sh_101 tb_303"""
_PLAIN = """open closed close opened half halfopen pedal foot tight loose low lo mid medium med high
    hi lower higher floor rack stand small big large fat thin phat deep short long soft hard
    loud quiet light heavy dry wet clean dirty raw processed acoustic analog analogue digital
    electronic electro synthetic vintage retro modern classic layered punchy snappy crispy crisp dark
    bright warm cold lofi lo_fi hifi room hall plate gated ghost flam brush brushed mallet rods
    center centre edge tip shoulder rimmed side cross top bottom inside outside in out on front overhead
    mic mics rest main alt trap house techno trance dnb dubstep jungle hiphop hip hop rnb boom
    bap pop rock jazz funk soul disco latin african world industrial edm drill phonk garage ambient club
    aperto chiuso aperta chiusa ouvert ferme offen geschlossen offene abierto cerrado abierta cerrada
    aberto fechado alto medio basso grave aguda agudo acustico acustica elettronico basse aigu hoch
    tief hohe tiefe drum drums dr pad refill sample samples sound sounds kit kits pack packs set collection
    library vol volume part pt number nr take tk ver version v rr robin round vel velocity layer
    mono stereo left right l r m s st hz khz bit bits wav wave aif aiff flac mp3 ogg bank bk folder
    dir all other misc various new old x a b c d e f g and und et y e i or オープン クローズ クローズド
    ドラム フロア ロー ハイ"""  # fmt: skip


def plain(word: str) -> str:
    """A word as the lexicon has it: without case, width and Latin accents."""
    parted = unicodedata.normalize("NFKD", word.casefold().replace("\u2019", "'"))
    bare = "".join(c for c in parted if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFC", bare)


def _spread(text: str) -> dict[str, float]:
    """Read ``Label``, or ``Label:weight Label:weight …``."""
    weights = {label: float(weight or 1) for label, _, weight in map(_parted, text.split())}
    assert weights.keys() <= set(FINE_LABELS)
    return {label: weight / sum(weights.values()) for label, weight in weights.items()}


def _parted(word: str) -> tuple[str, str, str]:
    return word.partition(":")


def _entries() -> Iterator[tuple[tuple[str, ...], Entry]]:
    """Every entry; what comes later replaces what came before."""
    for kind, words in (
        (Kind.PLAIN, _PLAIN),
        (Kind.DISOWNS, _DISOWNS),
        (Kind.NEGATION, _NEGATIONS),
        (Kind.ONE_SHOT, _ONE_SHOTS),
        (Kind.LOOSE_LOOP, _LOOSE_LOOPS),
        (Kind.LOOP, _LOOPS),
        (Kind.TEMPO, "bpm"),
        (Kind.REVERSE, _REVERSE),
        (Kind.NEUTRAL, _NEUTRAL),
    ):
        yield from ((_key(phrase), Entry(kind, {})) for phrase in words.split())
    for kind, table in (
        (Kind.BARE_CODE, _BARE_CODES), (Kind.CODE, _CODES), (Kind.LOOSE, _LOOSE), (Kind.NOUN, _NOUNS),
    ):  # fmt: skip
        for label, words in table.items():
            entry = Entry(kind, _spread(label))
            yield from ((_key(phrase), entry) for phrase in words.split())


def _key(phrase: str) -> tuple[str, ...]:
    return tuple(plain(phrase).split("_"))


ENTRIES: Mapping[tuple[str, ...], Entry] = dict(_entries())
LONGEST_PHRASE = max(map(len, ENTRIES))
