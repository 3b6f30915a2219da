"""The record of a session: whole at any instant, exact to the sample."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_fakes import FACTS, HOP, LATENCY, PLAIN, FakeClock, FakeEngine, counting, tone

from gigmate.audio import read_audio
from gigmate.errors import MachineError
from gigmate.live.record import EVENTS, MIX, STEM, GrowingWav, SessionRecord
from gigmate.live.session import LiveSession
from gigmate.live.settings import SessionSettings


def play(folder: Path, settings: SessionSettings = PLAIN, num_frames: int = 120) -> LiveSession:
    """A session with a gap, not closed."""
    clock, engine = FakeClock(), FakeEngine()
    record = SessionRecord(folder, settings.sample_rate, is_pcm16=settings.is_pcm16)
    session = LiveSession(settings, FACTS, clock, record=record)
    slot = engine.open(session.slot_settings)
    for frame in range(-1, num_frames):
        clock.now_s += 0.02
        if frame >= 0 and frame not in (50, 51):
            session.push_audio(frame, frame * HOP, quantised(tone(frame * HOP, HOP)))
        while (request := session.next_request()) is not None:
            wave = engine.step({slot: request})[slot]
            session.take(wave, engine.codes(slot))
    return session


def quantised(wave: np.ndarray) -> np.ndarray:
    return (np.round(wave * 32_768) / 32_768).astype(np.float32)


def samples(path: Path) -> np.ndarray:
    return read_audio(path, max_seconds=60).wave[0]


@pytest.mark.parametrize("is_pcm16", [True, False])
def test_both_tracks_are_what_came_and_went_aligned_to_the_sample(tmp_path: Path, is_pcm16: bool) -> None:
    play(tmp_path / "a", replace(PLAIN, is_pcm16=is_pcm16)).close("done")
    mix, stem = samples(tmp_path / "a" / MIX), samples(tmp_path / "a" / STEM)
    expected = quantised(tone(0, 120 * HOP))
    expected[50 * HOP : 52 * HOP] = 0
    assert np.array_equal(mix, expected)
    assert np.array_equal(stem, counting(np.arange(130 * HOP - LATENCY)))


def test_a_record_that_was_never_closed_lacks_a_second_at_most(tmp_path: Path) -> None:
    session = play(tmp_path / "a")
    left = shutil.copytree(tmp_path / "a", tmp_path / "b")  # as a kill would leave it
    session.close("done")
    assert session.now_s == pytest.approx(2.4)
    for name in (MIX, STEM):
        assert len(samples(left / name)) >= (2.4 - 1.02) * 24_000
    lines = (left / EVENTS).read_text().splitlines()
    assert sum(json.loads(line)["type"] == "call" for line in lines[:-1]) >= 50


def test_events_come_in_their_order_and_hold_primitives(tmp_path: Path) -> None:
    session = play(tmp_path / "a", num_frames=20)
    session.turn({"density": 0.5})
    session.tap(77)
    session.close("done")
    events = [json.loads(line) for line in (tmp_path / "a" / EVENTS).read_text().splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["open", "schedule"]
    assert kinds[-3:] == ["turn", "tap", "close"]
    calls = [event for event in events if event["type"] == "call"]
    assert [call["frame"] for call in calls] == list(range(-3, 30))
    assert [call["codes"] for call in calls[:4]] == [None, None, None, [4, 4, 4, 4]]


def test_a_stem_with_a_hole_stays_aligned(tmp_path: Path) -> None:
    record = SessionRecord(tmp_path / "a", 24_000, is_pcm16=True)
    record.stem(0, np.full(100, 0.5, np.float32))
    record.stem(300, np.full(100, 0.25, np.float32))
    record.close()
    record.stem(400, np.ones(100, np.float32))
    stem = samples(tmp_path / "a" / STEM)
    assert np.array_equal(stem, np.repeat(np.array([0.5, 0, 0, 0.25], np.float32), 100))


class FullDisk:
    """A file on which nothing more can be written."""

    closed = False

    def seek(self, *_: int) -> int:
        return 0

    def write(self, content: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = write

    def close(self) -> None:
        """As of a file."""


def test_a_full_disk_ends_the_record_and_not_the_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = play(tmp_path / "a", num_frames=60)
    record = session._record
    assert record is not None
    whole = len(samples(tmp_path / "a" / MIX))
    record._mix._file.close()
    record._mix._file = FullDisk()  # pyright: ignore[reportAttributeAccessIssue]
    for frame in range(60, 80):
        session.push_audio(frame, frame * HOP, tone(frame * HOP, HOP))
    session.close("done")
    assert [entry.message for entry in caplog.records if "record of a session ends" in entry.message]
    assert len(caplog.records) == 1
    assert len(samples(tmp_path / "a" / MIX)) == whole


def test_a_folder_that_cant_be_made_is_an_error_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="can't write"):
        SessionRecord(tmp_path / "file" / "a", 24_000, is_pcm16=True)
    SessionRecord(tmp_path / "a", 24_000, is_pcm16=True).close()
    with pytest.raises(MachineError, match="File exists"):
        SessionRecord(tmp_path / "a", 24_000, is_pcm16=True)


def test_a_file_stops_growing_where_its_header_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gigmate.live.record._MAX_BYTES", 300)
    wav = GrowingWav(tmp_path / "a.wav", 24_000, is_pcm16=True)
    for _ in range(4):
        wav.write(np.full(100, 0.5, np.float32))
    wav.close()
    assert len(samples(tmp_path / "a.wav")) == 150
