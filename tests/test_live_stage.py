"""The stage and its host: sessions in their slots, batches, messages in and out, faults that stay where they are."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_fakes import FACTS, HOP, LATENCY, PLAIN, FakeClock, FakeEngine, counting, tone

from gigmate.live.frames import SlotsFull
from gigmate.live.host import StageHost
from gigmate.live.messages import Control, Hello, Nudge, Ping, Tap
from gigmate.live.protocol import MIX, PCM16, STEM, Audio, decode_audio, encode_audio, encode_text
from gigmate.live.stage import MAX_ROUNDS, Stage

HELLO = {"type": "hello", "version": 1, "sample_rate": 24_000, "instrument": "drums", "lookahead_ms": -200}
OPENING = 13


class House:
    """A host with clients."""

    def __init__(self, records: Path | None = None) -> None:
        self.clock = FakeClock()
        self.engine = FakeEngine()
        self.host = StageHost(self.engine, self.clock, records)
        self.sent: dict[int, int] = {}
        self.got: dict[int, list[Any]] = {}

    def open(self, number: int, **changes: Any) -> None:
        text = json.dumps({"type": "open", "hello": {**HELLO, **changes}, "resume": f"token-{number}"})
        self.host.receive(number, text)
        self.sent[number] = 0

    def play(self, *numbers: int, frames: int = 1) -> None:
        """Send frames of audio from these clients, and take turns."""
        for _ in range(frames):
            self.clock.now_s += 0.02
            for number in numbers:
                seq = self.sent[number]
                self.host.receive(number, message(seq, seq * HOP, tone(seq * HOP, HOP)))
                self.sent[number] += 1
            self.turn()

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            for number, payload in self.host.turn():
                told = json.loads(payload) if isinstance(payload, str) else decode_audio(payload, STEM)
                self.got.setdefault(number, []).append(told)

    def texts(self, number: int, kind: str) -> list[dict[str, Any]]:
        return [told for told in self.got.get(number, []) if isinstance(told, dict) and told["type"] == kind]

    def audio(self, number: int) -> list[Audio]:
        return [told for told in self.got.get(number, []) if isinstance(told, Audio)]


def message(seq: int, sample_index: int, wave: np.ndarray) -> bytes:
    samples = np.round(wave * 32_768).astype("<i2").tobytes()
    return encode_audio(Audio(kind=MIX, format=PCM16, seq=seq, sample_index=sample_index, samples=samples))


def stem_of(house: House, number: int) -> np.ndarray:
    parts = house.audio(number)
    assert [part.seq for part in parts] == list(range(len(parts)))
    ends = np.cumsum([part.num_samples for part in parts])
    assert [part.sample_index for part in parts] == [0, *ends[:-1]]
    return np.concatenate([np.frombuffer(part.samples, "<i2") for part in parts]) / 32_768


def test_a_session_from_welcome_to_the_end() -> None:
    house = House()
    house.open(7)
    house.turn()
    assert not house.got, "the opening takes more than one turn"
    house.turn(2)
    (welcome,) = house.texts(7, "welcome")
    assert house.got[7][0] == welcome
    assert (welcome["session"], welcome["resume"], welcome["lookahead_ms"]) == (7, "token-7", -200.0)
    assert (welcome["codec_rate"], welcome["frame_samples"], welcome["mode"]) == (24_000, HOP, "ahead")
    house.play(7, frames=60)
    stem = stem_of(house, 7)
    assert len(stem) == 70 * HOP - LATENCY
    opening = counting(np.arange(10 * HOP - LATENCY))
    assert np.array_equal(stem[: len(opening)], opening), "nothing was heard yet that could turn the level"
    house.host.receive(7, '{"type":"goodbye"}')
    assert house.host.num_sessions == 0
    assert house.engine.closed == [0]


def test_sessions_share_batches_and_each_gets_its_own_stem() -> None:
    house = House()
    for number in (1, 2, 3):
        house.open(number)
    house.turn(3)
    house.engine.batches.clear()
    house.play(1, 2, 3, frames=20)
    assert house.engine.batches == [(0, 1, 2)] * 20
    for number, slot in ((1, 0), (2, 1), (3, 2)):
        assert len(house.engine.requests(slot)) == OPENING + 20
        assert len(stem_of(house, number)) == 30 * HOP - LATENCY


def test_an_opening_holds_up_nobody() -> None:
    house = House()
    house.open(1)
    house.turn(3)
    house.open(2, lookahead_ms=-1000)
    house.engine.batches.clear()
    house.play(1)
    assert len(house.engine.batches) == MAX_ROUNDS
    assert house.engine.batches[0] == (0, 1)
    assert len(house.engine.requests(0)) == OPENING + 1


def test_a_full_engine_refuses_and_a_slot_comes_free() -> None:
    house = House()
    for number in range(1, 6):
        house.open(number)
    house.turn()
    assert house.texts(5, "close") == [{"type": "close", "code": 1013, "reason": "no slot"}]
    assert house.host.num_sessions == 4
    house.host.receive(2, '{"type": "close"}')
    house.open(6)
    house.turn(3)
    assert len(house.texts(6, "welcome")) == 1


def test_a_session_that_cant_begin_leaves_no_slot_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    house = House(records=tmp_path / "file" / "records")
    house.open(1, record=True)
    house.open(2, sample_rate=11_025)
    house.turn()
    assert house.texts(1, "close")[0]["code"] == 4400
    assert house.texts(2, "close")[0]["code"] == 4422
    assert house.host.num_sessions == 0
    assert house.engine.slots == [None] * 4


def test_an_instrument_that_nobody_plays_is_not_supported() -> None:
    house = House()
    house.open(1, instrument="kazoo")
    house.turn()
    assert house.texts(1, "close")[0]["code"] == 4422


def test_a_bug_in_a_session_ends_it_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker failed in one session, and the worker ended for all."""
    house = House()
    house.open(1)
    house.open(2)
    house.turn(3)
    house.play(1, 2, frames=3)

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(house.host._stage.sessions[1].beats, "push", fail)
    house.play(1, 2, frames=3)
    assert house.texts(1, "close")[0]["code"] == 1011
    assert house.host.num_sessions == 1
    assert len(stem_of(house, 2)) == 16 * HOP - LATENCY


@pytest.mark.parametrize("index", [1 << 40, 24_000 * 20])
def test_a_fault_ends_its_session_and_no_other(index: int) -> None:
    house = House()
    house.open(1)
    house.open(2)
    house.turn(3)
    house.play(1, 2, frames=3)
    house.host.receive(1, message(3, index, tone(0, HOP)))
    house.play(2, frames=3)
    assert house.texts(1, "close")[0]["code"] == 4410
    assert house.host.num_sessions == 1
    assert len(stem_of(house, 2)) == 16 * HOP - LATENCY
    house.host.receive(1, message(4, 4 * HOP, tone(0, HOP)))
    house.host.receive(1, encode_text(Tap(sample_index=1)))
    house.turn()
    assert len(house.texts(1, "close")) == 1, "what comes after the end is no fault"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"type":"tap"}', '{"type":"nudge","beats":7}', json.dumps(HELLO), "[" * 5000]
)
def test_a_bad_text_is_answered_and_the_session_goes_on(text: str) -> None:
    house = House()
    house.open(1)
    house.turn(3)
    house.host.receive(1, text)
    house.host.receive(1, encode_text(Control(instrument="kazoo")))
    house.play(1)
    assert [error["code"] for error in house.texts(1, "error")] == ["schema", "schema"]
    assert "kazoo" in house.texts(1, "error")[1]["message"]
    assert house.host.num_sessions == 1


def test_controls_reach_the_slot_they_are_for() -> None:
    house = House()
    house.open(1)
    house.open(2)
    house.turn(3)
    house.host.receive(2, encode_text(Control(instrument="bass", density=0.5, lay_out=True, lookahead_ms=-400)))
    house.clock.now_s += 1.0
    house.play(1, 2)
    first, second = house.engine.slots[:2]
    assert first is not None
    assert second is not None
    assert (first.settings.instrument, second.settings.instrument, second.settings.density) == ("drums", "bass", 0.5)
    assert second.requests[-1].is_laid_out
    assert not first.requests[-1].is_laid_out
    assert second.requests[-1].lookahead_frames == -20
    assert house.texts(2, "plan")[0]["lookahead_ms"] == -400.0
    assert not house.texts(1, "plan")
    house.host.receive(2, encode_text(Control(lookahead_ms=0)))
    house.clock.now_s += 1.0
    house.play(2)
    assert house.texts(2, "plan")[-1]["reason"].startswith("the path takes")


def test_beats_pings_and_figures_are_told() -> None:
    house = House()
    house.open(1, beats="tempo", bpm=120.0)
    house.turn(3)
    house.play(1, frames=160)
    beats = house.texts(1, "beat")
    assert [beat["sample_index"] for beat in beats[:5]] == [12_000, 24_000, 36_000, 48_000, 60_000]
    assert [beat["beat_in_bar"] for beat in beats[:5]] == [1, 2, 3, 0, 1]
    assert {(beat["bpm"], beat["source"], beat["confidence"]) for beat in beats} == {(120.0, "tempo", 1.0)}
    stats = house.texts(1, "stats")
    assert len(stats) == 3
    assert stats[-1]["in_time"] == 1.0
    assert stats[-1]["staleness_ms"] == 200.0
    power = float(np.mean(np.square(tone(150 * HOP, HOP))))
    assert stats[-1]["level_in_db"] == pytest.approx(10 * np.log10(power), abs=0.5)
    house.host.receive(1, encode_text(Ping(id=4, sent_ms=17.5, rtt_ms=30.0)))
    house.turn()
    (pong,) = house.texts(1, "pong")
    assert (pong["id"], pong["sent_ms"], pong["server_ms"]) == (4, 17.5, house.clock.now_s * 1000)
    house.host.receive(1, encode_text(Nudge(beats=0.25)))
    house.play(1, frames=150)
    assert house.texts(1, "beat")[-1]["sample_index"] % 12_000 == pytest.approx(3000, abs=100)


def test_who_taps_while_the_band_listens_is_told_the_taps_beat() -> None:
    house = House()
    house.open(1)
    house.turn(3)
    house.play(1, frames=30)
    assert house.texts(1, "beat") == [], "a tone has no beat"
    for sample_index in (2_400, 14_400):
        house.host.receive(1, encode_text(Tap(sample_index=sample_index)))
    house.play(1, frames=60)
    beats = house.texts(1, "beat")
    assert [(beat["sample_index"], beat["beat_in_bar"]) for beat in beats] == [(26_400, 2), (38_400, 3), (50_400, 0)]
    assert {(beat["source"], round(beat["bpm"])) for beat in beats} == {("tap", 120)}


def test_a_client_that_comes_back_is_welcomed_and_goes_on() -> None:
    house = House()
    house.open(1)
    house.turn(3)
    house.play(1, frames=20)
    before = len(house.got[1])
    house.turn(5)
    assert len(house.got[1]) == before, "without audio there is nothing to play"
    house.host.receive(1, '{"type": "resume"}')
    house.clock.now_s += 7.0
    house.turn()
    assert len(house.texts(1, "welcome")) == 2
    house.host.receive(1, message(0, 24_000 * 7, tone(0, HOP)))
    house.turn()
    assert house.audio(1)[-1].flags == 2
    assert house.host.num_sessions == 1


def test_the_end_of_the_server_closes_every_session() -> None:
    house = House()
    house.open(1)
    house.open(2)
    house.turn()
    house.host.stop()
    assert house.host.num_sessions == 0
    assert house.engine.slots == [None] * 4


def test_the_stage_says_what_is_wrong() -> None:
    stage = Stage(FakeEngine(facts=replace(FACTS, capacity=1)), FakeClock())
    stage.open(1, PLAIN)
    with pytest.raises(ValueError, match="open already"):
        stage.open(1, PLAIN)
    with pytest.raises(SlotsFull, match="no slot"):
        stage.open(2, PLAIN)
    stage.close(3)
    assert list(stage.sessions) == [1]


def test_hellos_defaults_make_a_session() -> None:
    assert Hello(version=1, sample_rate=48_000, instrument="bass").format == "pcm16"
