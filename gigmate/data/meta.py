"""What `meta.json` beside recorded stems says, and which instrument a stem's name means."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gigmate.data.song import ALL, SPLITS
from gigmate.errors import InputError
from gigmate.music.instruments import INSTRUMENTS

_MAX_BYTES = 1 << 20
_SYNONYMS = {"drum": "drums", "percussion": "drums", "piano": "keys", "organ": "keys", "guitars": "guitar"}


@dataclass(frozen=True)
class SongMeta:
    """The fields of `meta.json` that preparation reads; all are optional, others are ignored.

    Args:
        bpm: constant tempo; the first beat, a downbeat, is at 0 s.
        beats_per_bar: with `bpm`.
        group: songs that share material share it.
        split: train, valid or test; any other word leaves it open.
        licence: as the source states it.
    """

    bpm: float | None = None
    beats_per_bar: int = 4
    group: str = ""
    split: str | None = None
    licence: str = "unknown"


def read_meta(folder: Path) -> SongMeta:
    """`meta.json` of a song's folder; without that file nothing is known.

    Raises:
        InputError: `bad_meta`.
    """
    path = folder / "meta.json"
    if not path.exists():
        return SongMeta()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("bad_meta", f"can't be used ({error})", path, "repair or remove it") from error


def _parse(raw: Any) -> SongMeta:
    if not isinstance(raw, dict):
        raise ValueError("an object {...} is needed")
    bpm, beats_per_bar = raw.get("bpm"), raw.get("beats_per_bar", 4)
    if bpm is not None and not (isinstance(bpm, int | float) and math.isfinite(bpm) and 10 <= bpm <= 500):
        raise ValueError(f"bpm is {bpm!r}, a number in 10..500 is needed")
    if not (isinstance(beats_per_bar, int) and 1 <= beats_per_bar <= 32):
        raise ValueError(f"beats_per_bar is {beats_per_bar!r}, a whole number in 1..32 is needed")
    texts = {key: raw.get(key, "") for key in ("group", "split", "licence")}
    if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise ValueError(f"{wrong[0]} is {texts[wrong[0]]!r}, a text is needed")
    split = texts["split"] if texts["split"] in SPLITS else None
    return SongMeta(bpm, beats_per_bar, texts["group"], split, texts["licence"] or "unknown")


def stem_instrument(name: str) -> str:
    """The instrument of a stem called `name`: the first word that is one, `other` if none is."""
    for word in re.findall(r"[a-z]+", name.lower()):
        instrument = _SYNONYMS.get(word, word)
        if instrument in INSTRUMENTS and instrument != ALL:
            return instrument
    return "other"
