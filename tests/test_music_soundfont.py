"""SoundFont rendering: stems by instrument, volume and expression applied, hangs and crashes contained."""

import logging
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from symusic.core import ControlChangeTick, NoteTick, PitchBendTick, ScoreTick, TempoTick, TrackTick
from tiny_soundfont import ROOT_HZ, SAMPLE_RATE, write_soundfont

from gigmate.errors import InputError, MachineError
from gigmate.music.controllers import gain_curve
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.soundfont import PEAK, SoundFontRenderer, render_midi
from gigmate.music.soundfont_roots import with_roots_in_headers
from gigmate.music.synthesizer import SynthesizerProcess

QUARTER = 480  # half a second at 120 bpm


@pytest.fixture(scope="module")
def soundfont(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_soundfont(tmp_path_factory.mktemp("soundfont") / "tiny.sf2")


@pytest.fixture(scope="module")
def renderer(soundfont: Path):
    with SoundFontRenderer(soundfont, SAMPLE_RATE) as shared:
        yield shared


def track(program: int, onsets: list[int], *, is_drum: bool = False, controls=(), pitch: int = 60) -> TrackTick:
    result = TrackTick("part", program, is_drum)
    for onset in onsets:
        result.notes.append(NoteTick(onset, QUARTER, pitch, 100))
    for tick, number, value in controls:
        result.controls.append(ControlChangeTick(tick, number, value))
    return result


def score_of(*tracks: TrackTick) -> ScoreTick:
    score = ScoreTick(QUARTER)
    score.tempos.append(TempoTick(0, qpm=120.0))
    for one in tracks:
        score.tracks.append(one)
    return score


def level(wave: np.ndarray, start_s: float, end_s: float) -> float:
    return float(np.sqrt(np.mean(wave[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)] ** 2)))


def test_stems_sound_where_their_notes_are(renderer: SoundFontRenderer):
    score = score_of(track(0, [0]), track(33, [2 * QUARTER]), track(0, [QUARTER], is_drum=True), track(5, []))
    stems = renderer.render(score)
    assert set(stems) == {"keys", "bass", "drums"} <= set(INSTRUMENTS)
    assert len({len(stem) for stem in stems.values()}) == 1
    for name, start_s in (("keys", 0.0), ("drums", 0.5), ("bass", 1.0)):
        assert stems[name].dtype == np.float32
        sounding = level(stems[name], start_s + 0.05, start_s + 0.45)
        silent = [t for t in (0.0, 0.5, 1.0) if t != start_s]
        assert all(level(stems[name], t + 0.05, t + 0.45) < 1e-3 * sounding for t in silent)
        second = stems[name][int((start_s + 0.1) * SAMPLE_RATE) :][: SAMPLE_RATE // 4]
        assert np.abs(np.fft.rfft(second)).argmax() * 4 == pytest.approx(ROOT_HZ, abs=4)


def pitch_hz(stem: np.ndarray) -> float:
    second = stem[int(0.05 * SAMPLE_RATE) :][: int(0.4 * SAMPLE_RATE)]
    spectrum = np.abs(np.fft.rfft(second * np.hanning(len(second)), n=8 * SAMPLE_RATE))
    return float(spectrum.argmax()) / 8


@pytest.mark.parametrize(
    ("generators", "recorded_key", "key", "semitones"),
    [
        ((), 60, 67, 7),
        ((), 53, 60, 7),
        (((58, 67),), 60, 67, 0),  # root key
        (((58, 67),), 60, 60, -7),
        (((51, -4),), 60, 67, 3),  # coarse tune
        (((43, 72 + (72 << 8)), (56, 0)), 60, 72, 0),  # the pitch doesn't follow the keys
        (((43, 70 + (74 << 8)), (56, 50), (58, 62)), 60, 72, 5),
        (((58, 67), (51, 12)), 60, 67, 12),
    ],
)
def test_a_note_has_the_pitch_that_the_zone_asks_for(
    tmp_path: Path, generators: tuple[tuple[int, int], ...], recorded_key: int, key: int, semitones: int
) -> None:
    """Symusic alone plays by the key in the sample's header: songs were rendered out of tune with themselves."""
    font = write_soundfont(tmp_path / "zone.sf2", generators, recorded_key)
    stem = render_midi(score_of(track(0, [0], pitch=key)), font, SAMPLE_RATE)["keys"]
    want = ROOT_HZ * 2 ** (semitones / 12)
    assert pitch_hz(stem) == pytest.approx(want, rel=0.01)


@pytest.mark.parametrize("cut", [0, 3, 11, 40, -1, -46, -100])
def test_a_cut_soundfont_is_refused_not_mended(soundfont: Path, cut: int) -> None:
    with pytest.raises(ValueError, match="SoundFont"):
        with_roots_in_headers(soundfont.read_bytes()[:cut])


def test_tracks_of_one_instrument_add_up_under_one_common_gain(renderer: SoundFontRenderer):
    one = renderer.render(score_of(track(0, [0]), track(33, [2 * QUARTER])))
    two = renderer.render(score_of(track(0, [0]), track(0, [0]), track(33, [2 * QUARTER])))
    ratio = (level(two["keys"], 0, 0.5) / level(two["bass"], 1, 1.5)) / (
        level(one["keys"], 0, 0.5) / level(one["bass"], 1, 1.5)
    )
    assert ratio == pytest.approx(2.0, rel=1e-3)
    for stems in (one, two):
        mix = np.sum(list(stems.values()), axis=0)
        peak = max(np.abs(wave).max() for wave in [mix, *stems.values()])
        assert peak == pytest.approx(PEAK, rel=1e-5)


@pytest.mark.parametrize("number", [7, 11])
def test_volume_and_expression_act_as_their_square(renderer: SoundFontRenderer, number: int):
    controls = [(0, number, 100), (2 * QUARTER, number, 50)]
    stem = renderer.render(score_of(track(0, [0, 2 * QUARTER], controls=controls)))["keys"]
    assert level(stem, 1.05, 1.45) / level(stem, 0.05, 0.45) == pytest.approx(0.25, rel=0.02)


def test_the_gain_has_no_steps_and_takes_the_last_of_equal_times():
    controls = [(0, 7, 10), (0, 7, 127), (QUARTER, 7, 64), (QUARTER + 1, 7, 127), (2 * QUARTER, 11, 0)]
    score = score_of(track(0, [0], controls=controls))
    gain = gain_curve(score, score.tracks[0], 2 * SAMPLE_RATE, SAMPLE_RATE)
    assert isinstance(gain, np.ndarray)
    assert gain[0] == pytest.approx(1.0)
    assert gain[int(0.6 * SAMPLE_RATE)] == pytest.approx(1.0)
    assert gain[-1] == 0.0
    assert np.abs(np.diff(gain)).max() < 0.05


def test_a_track_without_controllers_has_the_gain_of_general_midi():
    score = score_of(track(0, [0]))
    assert float(gain_curve(score, score.tracks[0], 10, SAMPLE_RATE)) == pytest.approx((100 / 127) ** 2)


def test_bends_are_counted(renderer: SoundFontRenderer, caplog: pytest.LogCaptureFixture):
    bent = track(0, [0])
    for tick, value in ((0, 0), (10, 2000), (20, -8192)):
        bent.pitch_bends.append(PitchBendTick(tick, value))
    with caplog.at_level(logging.WARNING):
        renderer.render(score_of(bent))
    assert "2 pitch bends are not rendered" in caplog.text


def test_a_hanging_synthesizer_is_killed_and_named(soundfont: Path):
    process = SynthesizerProcess(soundfont, SAMPLE_RATE, 2, limit_s=0.02)  # less than an interpreter's start
    start = time.monotonic()
    with pytest.raises(InputError, match=r"render_timeout.*no sound within 0.02 s.*'solo\\x1b'"):
        process.render(score_of(track(0, [0])).dumps_midi(), "solo\x1b")
    assert time.monotonic() - start < 2.0


def test_after_a_crash_a_fresh_child_goes_on(soundfont: Path):
    process = SynthesizerProcess(soundfont, SAMPLE_RATE, 2, limit_s=20.0)
    try:
        with pytest.raises(InputError, match="render_failed"):
            process.render(b"no MIDI at all", "part")
        assert np.abs(process.render(score_of(track(0, [0])).dumps_midi(), "part")).max() > 0.1
    finally:
        process.close()


def test_what_is_no_soundfont_is_refused(tmp_path: Path):
    score = score_of(track(0, [0]))
    with pytest.raises(InputError, match="io_error"):
        render_midi(score, tmp_path / "missing.sf2", SAMPLE_RATE)
    (tmp_path / "text.sf2").write_text("not a soundfont")
    with pytest.raises(InputError, match="render_failed"):
        render_midi(score, tmp_path / "text.sf2", SAMPLE_RATE)


def test_a_score_that_does_not_sound_is_refused(renderer: SoundFontRenderer):
    with pytest.raises(InputError, match="midi_empty"):
        renderer.render(score_of(track(0, [])))
    with pytest.raises(InputError, match="midi_empty"):
        renderer.render(score_of(track(50, [0])))  # a program that this SoundFont lacks


def test_fluidsynth_missing_says_what_to_do(
    renderer: SoundFontRenderer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"no_fluidsynth.*bends=count"):
        renderer.render(score_of(track(0, [0])), bends="fluidsynth")


def test_fluidsynth_is_asked_for_raw_floats(
    renderer: SoundFontRenderer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    stand_in = tmp_path / "fluidsynth"  # writes one second of stereo .5 / .25 to the file after -F
    stand_in.write_text(
        f"#!{sys.executable}\nimport sys, struct\n"
        "a = sys.argv\nassert a[a.index('-O') + 1] == 'float' and a[a.index('-T') + 1] == 'raw'\n"
        "open(a[a.index('-F') + 1], 'wb').write(struct.pack('<2f', .5, .25) * int(a[a.index('-r') + 1]))\n"
    )
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    stems = renderer.render(score_of(track(0, [0])), bends="fluidsynth")
    np.testing.assert_allclose(stems["keys"], np.full(SAMPLE_RATE, PEAK), rtol=1e-6)


@pytest.mark.slow
def test_a_shared_song_renders_as_a_band(shared_data: Path):
    from gigmate.music.midi import read_midi

    font = next((shared_data / "samples").rglob("*.sf3"))
    score = read_midi(shared_data / "midi" / "freedoom" / "d_bunny.mid")
    stems = render_midi(score, font, SAMPLE_RATE)
    assert set(stems) == {"drums", "bass", "keys", "guitar", "lead", "other"}
    for name, stem in stems.items():
        assert np.isfinite(stem).all(), name
        assert np.sqrt(np.mean(stem**2)) > 1e-3, name
