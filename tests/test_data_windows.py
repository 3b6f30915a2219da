"""Windows: functions of (seed, epoch, index), cut where they say they are."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_fakes import FakeCodec, FakeSource, audio_job, token_job
from numpy.typing import NDArray

from gigmate.data import make
from gigmate.data.audio_windows import AudioWindows
from gigmate.data.loading import open_folders
from gigmate.data.prepare import Policy, prepare_songs
from gigmate.data.windows import SongPlaces, StoredSong, TokenWindow, TokenWindows, WindowConfig
from gigmate.errors import InputError
from gigmate.music.instruments import INSTRUMENTS

CONFIG = WindowConfig(num_frames=40, min_lookahead_frames=-5, max_lookahead_frames=10)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[StoredSong]:
    folder = tmp_path_factory.mktemp("tokens")
    with pytest.MonkeyPatch.context() as patch:
        make.encoder_of.cache_clear()
        patch.setattr("gigmate.codec.catalog.load_codec", lambda config, device: FakeCodec())
        prepare_songs(token_job(folder), Policy())
    return open_folders([str(folder)], "tokens")[1]


@pytest.fixture(scope="module")
def audio_songs(tmp_path_factory: pytest.TempPathFactory) -> list[StoredSong]:
    folder = tmp_path_factory.mktemp("audio")
    prepare_songs(audio_job(folder), Policy())
    return open_folders([str(folder)], "audio")[1]


def draw(songs: list[StoredSong], count: int = 60, seed: int = 0, **changes: Any) -> list[TokenWindow]:
    windows = TokenWindows(songs, replace(CONFIG, **changes), seed)
    return [windows[0, index] for index in range(count)]


def equal(one: TokenWindow, other: TokenWindow) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def located(songs: list[StoredSong], window: TokenWindow) -> tuple[StoredSong, NDArray[Any], int, list[int]]:
    """The song of a window, its records, the stem's column, and every start at which the stem's codes are found."""
    song = songs[int(window["song"])]
    records = song.open()
    names = [*song.card.instruments, "all"]
    column = names.index(INSTRUMENTS[int(window["instrument"])])
    codes, num_frames = window["codes"].numpy().T, window["codes"].shape[1]
    starts = range(len(records) - num_frames + 1)
    found = [s for s in starts if np.array_equal(records["codes"][s : s + num_frames, column], codes)]
    return song, records, column, found


def test_a_window_is_a_function_of_seed_epoch_and_index(songs: list[StoredSong]) -> None:
    one, same = TokenWindows(songs, CONFIG, seed=1), TokenWindows(songs, CONFIG, seed=1)
    backwards = {index: same[2, index] for index in reversed(range(20))}

    assert all(equal(one[2, index], backwards[index]) for index in range(20))
    assert not any(equal(one[2, index], one[3, index]) for index in range(20))
    other = TokenWindows(songs, CONFIG, seed=2)
    assert not any(equal(one[2, index], other[2, index]) for index in range(20))


def test_shapes_and_types(songs: list[StoredSong]) -> None:
    window = draw(songs, 1)[0]
    found = {key: (tuple(value.shape), value.dtype) for key, value in window.items()}
    assert found == {
        "codes": ((2, 40), torch.int64),
        "notes": ((40,), torch.int64),
        "mix_power": ((108, 50), torch.float32),
        "mix_present": ((), torch.bool),
        "beats": ((10, 50), torch.float32),
        "root": ((50,), torch.int64),
        "tones": ((12, 50), torch.float32),
        "instrument": ((), torch.int64),
        "lookahead": ((), torch.int64),
        "song": ((), torch.int64),
        "index": ((), torch.int64),
    }


def test_mix_and_beats_are_those_of_the_stems_own_frames(songs: list[StoredSong]) -> None:
    """At some start where the stem's codes are found, the mix is a positive sum of other stems and the beats fit."""
    num_ends = 0
    for window in draw(songs, max_gain_db=9.0, all_share=0.0):
        song, records, column, starts = located(songs, window)
        assert starts
        power = window["mix_power"].numpy().astype(np.float64)
        companions = [i for i in range(len(song.card.instruments)) if i != column]
        assert any(_fits(records, start, power, companions, window["beats"].numpy()) for start in starts)
        num_ends += max(starts) + 50 > len(records)
    assert num_ends  # windows at the end of a song were among them: what is beyond it is silence


def _fits(
    records: NDArray[Any], start: int, power: NDArray[np.float64], companions: list[int], beats: NDArray[np.float32]
) -> bool:
    there = records[start : start + 50]
    beyond = 50 - len(there)
    if not np.array_equal(np.pad(there["beats"].T, ((0, 0), (0, beyond))), beats):
        return False
    if not companions:
        return not power.any()
    parts = [np.pad(there["power"][:, i].T.astype(np.float64), ((0, 0), (0, beyond))).ravel() for i in companions]
    gains, *_ = np.linalg.lstsq(np.stack(parts, axis=1), power.ravel(), rcond=None)
    is_sum = np.allclose(np.stack(parts, axis=1) @ gains, power.ravel(), rtol=1e-3, atol=1e-7)
    return is_sum and bool(((gains > -1e-3) & (gains < 10**1.8 * 1.01)).all())


def test_gains_stay_within_their_range_and_move(songs: list[StoredSong]) -> None:
    ratios = []
    for window in draw(songs, 300, max_gain_db=3.0, all_share=0.0, whole_mix_share=1.0):
        _, records, _, starts = located(songs, window)
        if INSTRUMENTS[int(window["instrument"])] != "drums" or not window["mix_present"]:
            continue
        parts = [records["power"][starts[0] : starts[0] + 40, i].T.astype(np.float64) for i in (1, 2)]
        if parts[1].max() < 1e-4:  # the keys rest: the mix is the bass, whose gain is seen
            ratios.append(10 * np.log10(window["mix_power"][:, :40].numpy().max() / parts[0].max()))
    assert len(ratios) >= 30
    assert max(map(abs, ratios)) <= 6.01  # its own 3 dB and the mix's 3 dB
    assert max(ratios) - min(ratios) > 7


def test_the_whole_band_hears_nothing(songs: list[StoredSong]) -> None:
    windows = draw(songs, all_share=1.0)
    for window in windows:
        assert INSTRUMENTS[int(window["instrument"])] == "all"
        assert not window["mix_present"]
        assert not window["mix_power"].any()
        assert located(songs, window)[3]


def test_a_lone_stem_hears_nothing(songs: list[StoredSong]) -> None:
    lone = [song for song in songs if song.card.instruments == ("drums",)]
    for window in draw(lone, 10, all_share=0.0):
        assert INSTRUMENTS[int(window["instrument"])] == "drums"
        assert not window["mix_present"]


def test_shares_and_lookaheads_are_as_set(songs: list[StoredSong]) -> None:
    windows = draw(songs, 600, all_share=0.25)
    num_all = sum(INSTRUMENTS[int(w["instrument"])] == "all" for w in windows)
    assert 115 <= num_all <= 185  # 150 +- 3.3 standard deviations
    lookaheads = [int(w["lookahead"]) for w in windows]
    assert set(lookaheads) == set(range(-5, 11))
    assert max(map(lookaheads.count, range(-5, 11))) < 75  # 37.5 each


def active_share(songs: list[StoredSong], window: TokenWindow) -> float:
    _, records, column, starts = located(songs, window)
    return max(float(records["active"][s : s + 40, column].mean()) for s in starts)


def test_the_stem_plays_in_its_window(songs: list[StoredSong]) -> None:
    windows = draw(songs, 200, all_share=0.0, resting_share=0.0)
    assert all(active_share(songs, window) >= 0.75 for window in windows)
    named = [INSTRUMENTS[int(w["instrument"])] for w in windows]
    assert set(named) == {"drums", "bass", "keys"}


def test_rests_are_learned_too(songs: list[StoredSong]) -> None:
    """Only the keys ever rest: their windows straddle the middle of a song."""
    windows = draw(songs, 40, all_share=0.0, resting_share=1.0)
    resting = [w for w in windows if 0.1 <= active_share(songs, w) < 0.75]
    assert len(resting) >= 30  # in the lone drummer's song nobody rests: there the next best is taken
    assert {INSTRUMENTS[int(w["instrument"])] for w in resting} == {"keys"}


@dataclass(frozen=True)
class Card:
    num_records: int


@dataclass(frozen=True)
class Song:
    card: Card


def test_every_place_is_equally_likely_and_fits() -> None:
    lengths = (10, 4, 12, 5)
    places = SongPlaces([Song(Card(n)) for n in lengths], 5)  # pyright: ignore[reportArgumentType]
    rng = np.random.default_rng(0)
    count: dict[tuple[int, int], int] = {}
    for _ in range(15_000):
        song, start = places.draw(rng)
        key = (song.card.num_records, start)
        count[key] = count.get(key, 0) + 1
    assert set(count) == {(n, start) for n in lengths for start in range(n - 5 + 1)}
    assert all(850 < n < 1160 for n in count.values())  # 1000 +- 5 standard deviations


def test_songs_shorter_than_a_window_are_said(songs: list[StoredSong]) -> None:
    with pytest.raises(InputError, match=r"GM-too_short.*200 of 201 frames in 6 songs"):
        TokenWindows(songs, replace(CONFIG, num_frames=201), 0)


@pytest.mark.parametrize(
    "bad", [{"num_frames": 0}, {"min_lookahead_frames": 11}, {"max_gain_db": -1.0}, {"all_share": 1.1}]
)
def test_senseless_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="WindowConfig"):
        replace(CONFIG, **bad)


def test_audio_windows_are_functions_of_their_key(audio_songs: list[StoredSong]) -> None:
    one, same = (AudioWindows(audio_songs, 50, seed=5) for _ in range(2))
    assert all(torch.equal(one[1, i][part], same[1, i][part]) for i in reversed(range(10)) for part in one[1, i])
    assert not torch.equal(one[1, 0]["wave"], one[1, 1]["wave"])
    assert not torch.equal(one[1, 0]["wave"], one[2, 0]["wave"])


def test_audio_windows_have_the_promised_loudness(audio_songs: list[StoredSong]) -> None:
    windows = AudioWindows(audio_songs, 50, seed=0)
    waves = torch.stack([windows[0, i]["wave"] for i in range(100)])
    assert waves.shape == (100, 1, 24_000)
    assert waves.dtype == torch.float32
    assert waves.abs().max() <= 1
    loudness = 20 * waves.square().mean(dim=(1, 2)).sqrt().log10()
    assert loudness.max() < -11.9
    assert loudness.min() > -32.1
    assert loudness.std() > 4  # of an even spread over 20 dB: 5.8


@pytest.mark.parametrize("mix_share", [0.0, 1.0])
def test_audio_windows_are_stems_or_mixes(audio_songs: list[StoredSong], mix_share: float) -> None:
    """Bass and keys are sines below and above 150 Hz: a window with both is a mix."""
    windows = AudioWindows(audio_songs, 50, seed=0, mix_share=mix_share)
    num_both = 0
    for i in range(60):
        power = torch.fft.rfft(windows[0, i]["wave"][0]).abs().square()
        low, high = power[40:80].sum() / power.sum(), power[200:240].sum() / power.sum()
        num_both += bool(low > 0.05) and bool(high > 0.05)
    assert num_both == 0 if mix_share == 0 else num_both >= 8


def test_silence_stays_silence(tmp_path: Path) -> None:
    class Late(FakeSource):
        def load(self, entry: object, sample_rate: int) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            song = super().load(entry, sample_rate)  # pyright: ignore[reportArgumentType]
            waves = {"drums": np.concatenate([np.zeros(100_000, np.float32), song.stems["drums"][:2_000]])}
            return replace(song, stems=waves)

    prepare_songs(audio_job(tmp_path, Late(num_songs=2)), Policy(max_bad_fraction=1))
    windows = AudioWindows(open_folders([str(tmp_path)], "audio")[1], 1, seed=0)
    assert any(not windows[0, i]["wave"].any() for i in range(5))
