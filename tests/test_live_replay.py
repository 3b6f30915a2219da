"""Played again: the record of a session gives the same tokens; and live gives what is made offline."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from live_fakes import PLAIN, FakeClock
from live_players import tiny_player
from reporting import Report

from gigmate.accompanist import SHIPPED, Accompanist
from gigmate.errors import InputError
from gigmate.generation.sampler import TopK
from gigmate.live.assembly import MixFrames
from gigmate.live.beats import BeatSource
from gigmate.live.clock import FrameClock
from gigmate.live.engine import Engine
from gigmate.live.record import EVENTS, MIX
from gigmate.live.replay import main, replay
from gigmate.live.scheduler import Schedule
from gigmate.live.settings import SessionSettings
from gigmate.live.stage import Stage
from gigmate.model.streams import codes_of
from gigmate.music.grid import BeatGrid
from gigmate.performance import Take
from gigmate.stopwatch import Stopwatch

GRID = BeatGrid.from_tempo(104, 4, 90)
RECORDED = replace(PLAIN, bpm=104.0, seed=5, gain=None)


@pytest.fixture(scope="module")
def player() -> Accompanist:
    return tiny_player(1)


class FixedBeats(BeatSource):
    """A grid that is known beforehand."""

    name = "tempo"

    @property
    def confidence(self) -> float:
        return 1.0

    def grid(self, now_s: float) -> BeatGrid:
        return GRID


def song(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Bursts of noise in 16 bits."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0, 0.3, round(seconds * 10) + 1), rate // 10)[: round(seconds * rate)]
    return (np.round(loud * rng.normal(size=len(loud)) * 16_000) / 32_768).astype(np.float32)


class Musician:
    """Sends a song in ragged messages, in real time of a fake clock."""

    def __init__(self, stage: Stage, clock: FakeClock, session_id: int, wave: np.ndarray) -> None:
        self.session, self.clock, self.wave = stage.sessions[session_id], clock, wave
        rng = np.random.default_rng(session_id)
        cuts = np.sort(rng.choice(np.arange(1, len(wave)), len(wave) // 800, replace=False))
        self.bounds = [0, *cuts.tolist(), len(wave)]
        self.seq, self.start_s = 0, clock.now_s

    @property
    def is_done(self) -> bool:
        return self.seq == len(self.bounds) - 1

    def send(self) -> None:
        start, stop = self.bounds[self.seq : self.seq + 2]
        self.clock.now_s = max(self.clock.now_s, self.start_s + stop / self.session.settings.sample_rate)
        self.session.push_audio(self.seq, start, self.wave[start:stop])
        self.seq += 1


def play_codes_of(folder: Path) -> np.ndarray:
    """[K, T] as the record has them."""
    events = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
    return np.array([event["codes"] for event in events if event["type"] == "call" and event["codes"]]).T


def record(player: Accompanist, folder: Path, settings: SessionSettings, seconds: float, others: int = 0) -> Path:
    """A session with all that can happen in one, besides others."""
    clock = FakeClock()
    stage = Stage(Engine(player, 1 + others), clock, folder)
    for number in range(1, 2 + others):
        stage.open(number, settings, is_recorded=True)
    band = [Musician(stage, clock, n, song(seconds, settings.sample_rate, n)) for n in stage.sessions]
    session = stage.sessions[1]
    happens = [
        (0.3, lambda: session.turn({"temperature": 0.7, "instrument": "bass", "is_laid_out": True})),
        (0.4, lambda: session.turn({"is_laid_out": False, "is_solo": True, "density": -0.5})),
        (0.45, lambda: session.tap(1000)),
        (0.47, lambda: session.tap(11_000)),
        (0.5, lambda: session.turn({"is_solo": False, "lookahead_ms": -300.0})),
        (0.6, lambda: session.nudge(0.2)),
        (0.8, lambda: session.skip(9)),
    ]
    while not all(musician.is_done for musician in band):
        for musician in band:
            if not musician.is_done:
                musician.send()
        while happens and band[0].seq / len(band[0].bounds) > happens[0][0]:
            happens.pop(0)[1]()
        stage.turn()
    for number in list(stage.sessions):
        stage.close(number, "done")
    return folder / "session-0001-1"


@pytest.mark.parametrize("changes", [{}, {"sample_rate": 44_100, "beats": "tracker", "is_pcm16": False}])
def test_a_record_played_again_gives_the_same_tokens(
    player: Accompanist, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = replace(RECORDED, **changes)  # pyright: ignore[reportArgumentType]
    folder = record(player, tmp_path, settings, 2.0)
    kinds = {json.loads(line)["type"] for line in (folder / EVENTS).read_text().splitlines()}
    assert kinds == {"open", "schedule", "turn", "tap", "nudge", "skip", "call", "close"}
    outcome = replay(folder, Engine(player, 1))
    assert str(outcome).startswith("equal: ")
    assert outcome.num_shared == 0
    assert outcome.num_calls > 100


def test_sessions_that_shared_batches_are_replayed_and_said_to_be(player: Accompanist, tmp_path: Path) -> None:
    outcome = replay(record(player, tmp_path, RECORDED, 1.0, others=1), Engine(player, 2))
    assert outcome.num_shared > 20


def test_a_record_that_was_cut_off_is_played_as_far_as_it_goes(player: Accompanist, tmp_path: Path) -> None:
    folder = record(player, tmp_path, RECORDED, 1.0)
    events = (folder / EVENTS).read_bytes()
    (folder / EVENTS).write_bytes(events[: len(events) // 2])
    outcome = replay(folder, Engine(player, 1))
    assert outcome.first_frame is None
    assert 15 < outcome.num_calls < 60


def test_where_it_differs_is_said(player: Accompanist, tmp_path: Path) -> None:
    folder = record(player, tmp_path, RECORDED, 1.0)
    lines = (folder / EVENTS).read_text().splitlines()
    index = next(i for i, line in enumerate(lines) if '"frame": 20,' in line)
    event = json.loads(lines[index])
    event["codes"][0] ^= 1
    lines[index] = json.dumps(event)
    (folder / EVENTS).write_text("\n".join(lines) + "\n")
    outcome = replay(folder, Engine(player, 1))
    assert outcome.first_frame == 20
    assert outcome.recorded == tuple(event["codes"])
    assert str(outcome).startswith("different from frame 20")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no record of a session"),
        (b'{"type":"call"}\n', "no record of a session"),
        (b'{"type":"open","format":99}\n', "no record of a session"),
        (b"\xff\xfe", "can't be read"),
        (b"{nonsense\n", "makes no sense"),
        (b"[]\n", "makes no sense"),
    ],
)
def test_what_is_no_record_is_refused(player: Accompanist, tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / EVENTS).write_bytes(content)
    with pytest.raises(InputError, match=match):
        replay(tmp_path, Engine(player, 1))


def test_altered_events_are_refused(player: Accompanist, tmp_path: Path) -> None:
    folder = record(player, tmp_path, RECORDED, 1.0)
    lines = (folder / EVENTS).read_text().splitlines()
    engine = Engine(player, 1)
    for altered in ('{"type":"call","frame":7}', '{"type":"skip"}', '{"type":"turn","values":{"kazoo":1}}', "{}"):
        (folder / EVENTS).write_text("\n".join([*lines[:20], altered]) + "\n")
        with pytest.raises(InputError, match=r"makes no sense|can't follow|mix ends"):
            replay(folder, engine)


def test_the_command_says_it_and_tells_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 3
    assert "GM-record" in capsys.readouterr().err


def offline(player: Accompanist, settings: SessionSettings, mix: np.ndarray, lag: int) -> np.ndarray:
    """Codes [K, T] that `Accompanist` makes of the same mix and grid."""
    take = Take(settings.instrument, -lag / 50, settings.seed, settings.guidance, TopK(100, settings.temperature))
    power = player.hear(torch.from_numpy(mix)[None, None])
    num_frames = power.shape[2] + lag
    return codes_of(player.play(num_frames, take, Stopwatch(), power=power, grid=GRID), player.model.config)[0].numpy()


def check_live_is_offline(player: Accompanist, folder: Path, wave: np.ndarray, settings: SessionSettings) -> int:
    """Play live and offline; the number of frames that were compared."""
    clock = FakeClock()
    stage = Stage(Engine(player, 1), clock, folder)
    session = stage.open(1, settings, is_recorded=True, beats=FixedBeats())
    musician = Musician(stage, clock, 1, wave)
    while not musician.is_done:
        musician.send()
        stage.turn()
    while session.calls.num_owed:
        stage.turn()
    stage.close(1)
    frames = MixFrames(FrameClock(settings.sample_rate, 24_000, 480)).push(wave)
    lag = session.schedule.lag_frames
    made = offline(player, settings, np.concatenate(frames) * np.float32(settings.gain or 1.0), lag)
    live = play_codes_of(folder / "session-0001-1")
    # offline nothing is known of the grid beyond the end, live it is
    num_frames = len(frames) + lag - 3
    assert live.shape[1] == len(frames) + lag
    assert np.array_equal(live[:, :num_frames], made[:, :num_frames])
    return num_frames


@pytest.mark.parametrize(("rate", "lookahead_ms", "gain"), [(24_000, -200.0, 1.0), (48_000, -60.0, 2.0)])
def test_live_makes_the_tokens_that_are_made_offline(
    player: Accompanist, tmp_path: Path, rate: int, lookahead_ms: float, gain: float
) -> None:
    settings = replace(PLAIN, sample_rate=rate, lookahead_ms=lookahead_ms, gain=gain, seed=3)
    assert check_live_is_offline(player, tmp_path, song(1.5, rate), settings) > 70


@pytest.mark.slow
def test_a_minute_live_is_the_minute_offline_with_the_weights_that_ship(tmp_path: Path, report: Report) -> None:
    player = Accompanist.load(SHIPPED)
    settings = replace(PLAIN, lookahead_ms=-200.0, gain=1.5, seed=11)
    num_frames = check_live_is_offline(player, tmp_path, song(60.0, 24_000), settings)
    report("p16_live_is_offline_frames", num_frames, "equal")
    folder = tmp_path / "session-0001-1"
    assert (folder / MIX).stat().st_size == 44 + 2 * 60 * 24_000


def test_a_schedule_is_plain_values() -> None:
    assert Schedule(-10).lag_frames == 10
    assert Schedule(-5, 2, "bars", 1, 100).lag_frames == 105
