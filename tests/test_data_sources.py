import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from gigmate.audio import write_wav
from gigmate.data import sources
from gigmate.data.code_digest import code_digest, sources_of
from gigmate.data.meta import read_meta, stem_instrument
from gigmate.data.song import SongEntry, make_song_id
from gigmate.data.sources import MidiSource, PracticeSource, StemSource, shuffled
from gigmate.errors import InputError
from gigmate.music.grid import BeatGrid

RATE = 8_000


def write_song(
    folder: Path, seconds: float = 2.0, names: tuple[str, ...] = ("drums", "bass"), rate: int = 16_000
) -> None:
    folder.mkdir(parents=True)
    time = np.arange(int(seconds * rate)) / rate
    for i, name in enumerate(names):
        write_wav(folder / f"{name}.wav", 0.2 * np.sin(2 * np.pi * 100 * (i + 1) * time)[None].repeat(2, axis=0), rate)


def test_ids_are_safe_and_tell_all_references_apart() -> None:
    references = [
        "a.1.ogg",
        "a.2.ogg",
        "A.1.ogg",
        "../x",
        "",
        ".",
        "Ünï 🎸/b\nc",
        "x" * 400,
        "x" * 401,
        "con",
        "bad\udcff",
    ]
    ids = [make_song_id(reference) for reference in references]
    assert len(set(ids)) == len(references)
    assert all(set(i) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(i) <= 64 for i in ids)


def test_a_part_stands_for_the_whole_and_grows() -> None:
    entries = [SongEntry(f"s{i}", str(i), "") for i in range(50)]
    assert shuffled(entries, 5) == shuffled(entries[::-1], 9)[:5]
    assert {int(entry.reference) for entry in shuffled(entries, 5)} != set(range(5))
    assert len(shuffled(entries, None)) == 50


def test_practice_songs_are_those_of_their_seeds() -> None:
    source = PracticeSource(num_songs=3, first_seed=7, seconds=4.0)
    entries = source.entries()
    assert [entry.reference for entry in entries] == ["7", "8", "9"]
    assert PracticeSource(1, 8, 4.0).entries() == entries[1:2]
    assert PracticeSource(1, 8, 5.0).entries()[0].digest != entries[1].digest

    one, same = (source.load(entries[0], RATE) for _ in range(2))

    assert set(one.stems) == {"drums", "bass", "keys", "guitar", "lead"}
    assert {len(wave) for wave in one.stems.values()} == {4 * RATE}
    assert all(np.array_equal(one.stems[name], same.stems[name]) for name in one.stems)
    assert one.grid is not None
    assert one.group == same.group
    assert one.group.startswith("practice:")


def test_songs_are_made_anew_when_the_code_that_makes_them_changes(
    midi_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice, rendered = PracticeSource(num_songs=1), midi(midi_folder)
    before = [practice.entries()[0].digest, rendered.entries()[0].digest]
    monkeypatch.setattr(sources, "code_digest", lambda *modules: f"other {modules}")
    after = [practice.entries()[0].digest, rendered.entries()[0].digest]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_the_digest_of_code_is_of_all_that_it_imports(tmp_path: Path) -> None:
    band = set(sources_of(("gigmate.music.band",)))
    assert band > {"gigmate.music.band", "gigmate.music.band.drums", "gigmate.music.band.dsp", "gigmate.music.grid"}
    assert "gigmate.music.tracker" not in band
    assert code_digest("gigmate.music.band") != code_digest("gigmate.music.chords")
    shutil.copytree(Path(sources.__file__).parents[1] / "music", tmp_path / "music")
    assert sources_of(("gigmate.music.band",), tmp_path) == sources_of(("gigmate.music.band",))
    with open(tmp_path / "music" / "band" / "dsp.py", "a") as file:
        file.write("\n")
    assert sources_of(("gigmate.music.band",), tmp_path) != sources_of(("gigmate.music.band",))


def test_what_the_midi_renderer_runs_counts_as_its_code() -> None:
    """Modules are named where they are run in another process; each must be in the list."""
    code = sources_of(sources._MIDI_CODE)
    run = {name for text in code.values() for name in re.findall(rb'"-m", "(gigmate\.music\.\w+)"', text)}
    assert run
    assert {name.decode() for name in run} <= set(code)


def test_stems_are_read_resampled_and_named(tmp_path: Path) -> None:
    write_song(tmp_path / "album" / "one", names=("01_Drums", "horns", "strings"))
    (tmp_path / "album" / "one" / "meta.json").write_text(
        '{"bpm": 90, "group": "g", "split": "valid", "licence": "CC0"}'
    )
    (tmp_path / "album" / "one" / "notes.txt").write_text("not audio")
    write_song(tmp_path / "two")
    source = StemSource(str(tmp_path))

    first, second = source.entries()

    assert (first.reference, second.reference) == ("album/one", "two")
    song = source.load(first, RATE)
    assert {name: len(wave) for name, wave in song.stems.items()} == {"drums": 2 * RATE, "other": 2 * RATE}
    spectrum = np.abs(np.fft.rfft(song.stems["other"])) / RATE
    assert spectrum[[400, 600]] == pytest.approx(0.2, rel=0.02)  # 200 Hz and 300 Hz, both of size .2
    assert (song.group, song.split, song.licence) == ("stems:g", "valid", "CC0")
    assert song.grid is not None
    assert song.grid.tempo_bpm([0.5]) == pytest.approx(90)
    other = source.load(second, RATE)
    assert (other.group, other.split) == ("stems:two", None)


def test_beats_come_from_a_file_before_meta_before_the_tracker(tmp_path: Path) -> None:
    write_song(tmp_path / "song", seconds=3.0)
    source = StemSource(str(tmp_path))
    tracked = source.load(source.entries()[0], RATE).grid
    assert tracked is not None
    (tmp_path / "song" / "meta.json").write_text('{"bpm": 100, "beats_per_bar": 3}')
    told = source.load(source.entries()[0], RATE).grid
    BeatGrid.from_tempo(75, 4, 3.0).to_file(tmp_path / "song" / "beats.txt")
    listed = source.load(source.entries()[0], RATE).grid
    assert told is not None
    assert listed is not None
    assert (told.beats_per_bar, round(float(told.tempo_bpm(1.0)))) == (3, 100)
    assert round(float(listed.tempo_bpm(1.0))) == 75
    assert tracked.confidence < 1


def test_a_digest_changes_with_any_file_of_the_song(tmp_path: Path) -> None:
    write_song(tmp_path / "song")
    source = StemSource(str(tmp_path))
    digests = [source.entries()[0].digest]
    (tmp_path / "song" / "meta.json").write_text("{}")
    digests.append(source.entries()[0].digest)
    wave = tmp_path / "song" / "bass.wav"
    wave.write_bytes(wave.read_bytes()[:-2] + b"\x01\x00")
    digests.append(source.entries()[0].digest)
    (tmp_path / "song" / "readme.txt").write_text("no part of it")
    assert source.entries()[0].digest == digests[2]
    assert len(set(digests)) == 3


def test_stems_of_unlike_length_are_refused(tmp_path: Path) -> None:
    write_song(tmp_path / "song", names=("drums",), seconds=2.0)
    write_wav(tmp_path / "song" / "bass.wav", np.ones((1, 2 * RATE + 200)) / 4, RATE)
    source = StemSource(str(tmp_path))
    with pytest.raises(InputError, match=r"GM-stem_mismatch.*2\.000 s, but bass\.wav has 2\.025 s.*drums\.wav"):
        source.load(source.entries()[0], RATE)
    write_wav(tmp_path / "song" / "bass.wav", np.ones((1, 2 * RATE + 150)) / 4, RATE)
    assert {len(wave) for wave in source.load(source.entries()[0], RATE).stems.values()} == {2 * RATE + 150}


@pytest.mark.parametrize("source", [StemSource("nowhere"), MidiSource("nowhere", __file__)])
def test_nothing_to_read_is_said(source: StemSource | MidiSource) -> None:
    with pytest.raises(InputError, match=r"GM-no_songs.*nowhere"):
        source.entries()


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "[" * 100_000, '{"group": 5}'),
        *('{"bpm": "fast"}', '{"bpm": NaN}', '{"bpm": 1e999}', '{"bpm": 3}', '{"bpm": 90, "beats_per_bar": 0}'),
    ],
)
def test_meta_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(InputError, match=r"GM-bad_meta.*meta\.json"):
        read_meta(tmp_path)


def test_an_unknown_split_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(json.dumps({"split": "dev"}))
    assert read_meta(tmp_path).split is None


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("drums", "drums"),
        ("Drum_Loop 2", "drums"),
        ("03-BASS.DI", "bass"),
        ("lead guitar", "lead"),
        ("Piano", "keys"),
        ("vocals", "other"),
        ("all", "other"),
        ("", "other"),
        ("drumsticks", "other"),
    ],
)
def test_stem_names_mean_instruments(name: str, instrument: str) -> None:
    assert stem_instrument(name) == instrument


@pytest.fixture
def midi_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in ("a/one.mid", "two.mid", "three.mid", "solo.mid", "hangs.MID"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
    (tmp_path / "band.sf2").write_bytes(b"sounds")
    monkeypatch.setattr(sources, "read_midi", lambda path: path)
    monkeypatch.setattr(sources, "grid_of", lambda score: None)
    monkeypatch.setattr(sources, "chords_of", lambda score, grid: ())
    monkeypatch.setattr(sources, "notes_of", lambda score: {})
    monkeypatch.setattr(sources, "render_midi", lambda *args, bends: {"drums": np.ones(10, np.float32)})
    return tmp_path


def midi(folder: Path, **settings: object) -> MidiSource:
    return MidiSource(str(folder), str(folder / "band.sf2"), **settings)  # pyright: ignore[reportArgumentType]


def test_midi_without_an_index_takes_every_file(midi_folder: Path) -> None:
    source = midi(midi_folder)
    assert [e.reference for e in source.entries()] == ["a/one.mid", "hangs.MID", "solo.mid", "three.mid", "two.mid"]
    song = source.load(source.entries()[0], RATE)
    assert (song.group, song.split, song.licence) == ("midi:a/one.mid", None, "unknown")


def test_midi_with_an_index_follows_it(midi_folder: Path) -> None:
    (midi_folder / "index.csv").write_text(
        "path,split,group,licence,fams,symusic_synth_ok\n"
        "two.mid,valid,g1,CC0,drums:3|bass:2,1\n"
        "a/one.mid,train,g2,MIT,drums:3|bass:2|piano:1,\n"
        "solo.mid,train,g3,MIT,drums:99,1\n"
        "hangs.MID,train,g4,MIT,drums:3|bass:2,0\n"
        "lost.mid,,,,drums:3|bass:2,1\n"
    )
    source = midi(midi_folder)
    assert [entry.reference for entry in source.entries()] == ["a/one.mid", "lost.mid", "two.mid"]
    song = source.load(source.entries()[2], RATE)
    assert (song.group, song.split, song.licence) == ("midi:g1", "valid", "CC0")
    assert [entry.reference for entry in midi(midi_folder, min_families=1).entries()][2] == "solo.mid"
    some = midi(midi_folder, max_songs=2).entries()
    assert len(some) == 2
    assert set(some) < set(source.entries())


def test_midi_is_made_anew_when_file_sound_or_row_change(midi_folder: Path) -> None:
    def digest() -> str:
        return next(entry.digest for entry in midi(midi_folder).entries() if entry.reference == "two.mid")

    digests = [digest()]
    (midi_folder / "two.mid").write_bytes(b"changed")
    digests.append(digest())
    (midi_folder / "band.sf2").write_bytes(b"other sounds")
    digests.append(digest())
    (midi_folder / "index.csv").write_text("path,split\ntwo.mid,train\n")
    digests.append(digest())
    (midi_folder / "index.csv").write_text("path,split\ntwo.mid,valid\n")
    digests.append(digest())
    assert len(set(digests)) == 5


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name,split\nx,train\n"])
def test_an_index_that_cannot_be_read_is_said(midi_folder: Path, content: bytes) -> None:
    (midi_folder / "index.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"GM-bad_index.*index\.csv"):
        midi(midi_folder).entries()


@pytest.mark.slow
def test_real_stems_and_midi_are_read(shared_data: Path) -> None:
    stems = StemSource(str(shared_data / "audio" / "mdn_multitrack"))
    song = stems.load(stems.entries()[0], 24_000)
    assert set(song.stems) == {"drums", "bass", "guitar", "keys", "other"}
    assert song.grid is not None
    files = MidiSource(
        str(shared_data / "midi"), str(shared_data / "samples" / "soundfonts" / "FluidR3Mono_GM.sf3"), max_songs=1
    )
    rendered = files.load(files.entries()[0], 24_000)
    assert len(rendered.stems) >= 2
    assert rendered.split in ("train", "valid")
