"""The local player with a fake device and engine: aligned to the sample, nothing played late, refusals in a line."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from live_fakes import PLAIN, RATE, FakeClock, FakeEngine, counting
from reporting import Report
from rich.console import Console

from gigmate.audio import read_audio, write_wav
from gigmate.errors import MachineError, UsageError
from gigmate.live.stage import Stage
from gigmate.play import __main__ as command
from gigmate.play import devices, midi_clock
from gigmate.play.callback import Deck
from gigmate.play.devices import Callback, Wanted
from gigmate.play.display import draw
from gigmate.play.midi_clock import MidiClock
from gigmate.play.player import LocalPlayer, to_mono
from gigmate.play.rings import CaptureRing, StemBuffer

BLOCK = 256


class FakeDevice:
    """A device that calls back when told to, and keeps what it was given."""

    def __init__(self, delay_s: float = 0.0, microphone: np.ndarray | None = None) -> None:
        self.sample_rate, self.delay_s, self.is_alive = RATE, delay_s, True
        self.microphone = microphone
        self.played: list[np.ndarray] = []
        self._callback: Callback | None = None

    @contextlib.contextmanager
    def _running(self, callback: Callback) -> Iterator[None]:
        self._callback = callback
        yield
        self._callback = None

    def start(self, callback: Callback) -> contextlib.AbstractContextManager[None]:
        return self._running(callback)

    def call_back(self, is_xrun: bool = False) -> None:
        assert self._callback is not None
        out = np.full((BLOCK, 2), np.nan, np.float32)
        start = len(self.played) * BLOCK
        heard = None if self.microphone is None else self.microphone[start : start + BLOCK]
        self._callback(heard, out, is_xrun)
        self.played.append(out)

    @property
    def output(self) -> np.ndarray:
        return np.concatenate(self.played)


def player_of(
    device: FakeDevice, *, song: np.ndarray | None = None, folder: Path | None = None, step_s: float = 0.0
) -> tuple[LocalPlayer, FakeClock]:
    clock = FakeClock()
    stage = Stage(FakeEngine(clock, step_s), clock, folder)
    return LocalPlayer(stage, device, PLAIN, clock, song=song, is_recorded=folder is not None), clock


def resting(device: FakeDevice, clock: FakeClock, blocks: int, stalled: range = range(0)) -> Callable[[], bool]:
    """A block between turns; while `stalled` the player isn't given a turn, the device goes on."""
    done = 0

    def rest() -> bool:
        nonlocal done
        while True:
            if done == blocks:
                return False
            device.call_back()
            clock.now_s += BLOCK / RATE
            done += 1
            if done not in stalled:
                return True

    return rest


# -- rings


def test_a_capture_ring_gives_what_was_written_and_counts_what_found_no_place():
    ring, rng = CaptureRing(1000), np.random.default_rng(0)
    written, read = [], []
    for _ in range(300):
        block = rng.standard_normal(int(rng.integers(1, 200))).astype(np.float32)
        if ring.num_written - ring.num_read + len(block) <= 1000:
            written.append(block)
        before = ring.num_dropped
        ring.write(block)
        assert (ring.num_dropped == before) == any(block is kept for kept in written[-1:])
        if rng.random() < 0.5:
            read.append(ring.read())
    np.testing.assert_array_equal(np.concatenate([*read, ring.read()]), np.concatenate(written))


def test_a_stem_is_played_at_its_samples_and_never_late():
    buffer, out = StemBuffer(1 << 12), np.empty(300, np.float32)
    wave = np.linspace(0.1, 0.5, 900, dtype=np.float32)
    buffer.write(0, wave[:600])
    buffer.play(out)
    np.testing.assert_array_equal(out[96:], wave[96:300])  # faded in from silence
    assert out[0] == 0.0
    buffer.play(out)
    np.testing.assert_array_equal(out, wave[300:600])
    buffer.play(out)  # nothing came
    assert buffer.num_underruns == 1
    assert 0 < abs(out[0]) <= abs(wave[599])
    assert np.abs(np.diff(out)).max() < 0.02
    np.testing.assert_array_equal(out[100:], 0.0)
    buffer.write(600, wave[600:])  # was due when silence was played
    assert buffer.num_late_samples == 300
    buffer.play(out)
    np.testing.assert_array_equal(out, 0.0)
    assert buffer.num_underruns == 1


def test_what_is_late_in_part_comes_in_phase_and_a_gap_is_silent_without_clicks():
    buffer, out = StemBuffer(1 << 12), np.empty(400, np.float32)
    level = np.full(400, 0.5, np.float32)
    buffer.play(out)
    buffer.write(300, counting(np.arange(300, 800)))
    assert buffer.num_late_samples == 100
    buffer.play(out)
    np.testing.assert_array_equal(out[96:], counting(np.arange(496, 800)))
    buffer.write(800, level[:200])
    buffer.write(1100, level)
    first, second = np.empty(400, np.float32), np.empty(300, np.float32)
    buffer.play(first)
    buffer.play(second)
    both = np.concatenate([first, second])
    np.testing.assert_array_equal(both[200:300], 0.0)
    assert np.abs(np.diff(both)).max() < 0.02
    np.testing.assert_array_equal(both[400:], 0.5)


def test_too_much_stem_never_overwrites_what_is_still_to_come():
    buffer, out = StemBuffer(1000), np.empty(1000, np.float32)
    buffer.write(0, np.full(1500, 0.5, np.float32))
    buffer.write(1200, np.full(10, 0.9, np.float32))
    buffer.play(out)
    np.testing.assert_array_equal(out[96:], 0.5)


# -- the session


def test_song_and_stem_come_out_together_to_the_sample(report: Report):
    song = np.zeros(200 * BLOCK, np.float32)
    song[::1000] = 0.25
    device = FakeDevice()
    player, clock = player_of(device, song=song)
    player.deck.stem_gain = 0.5
    state = player.run(resting(device, clock, 1000))
    out = device.output[:, 0]
    assert len(out) == len(song)
    np.testing.assert_array_equal(device.output[:, 1], out)
    expected = song + 0.5 * counting(np.arange(len(out)))
    np.testing.assert_allclose(out[96:], expected[96:], atol=1e-7)
    assert (state.late_ms, state.num_underruns, state.in_time) == (0.0, 0, 1.0)
    report("p1_local_player_samples_off", int((np.abs(out[96:] - expected[96:]) > 1e-6).sum()))


def test_a_microphone_is_heard_and_the_stem_leaves_early_by_the_devices_delay():
    delay = 480
    microphone = np.random.default_rng(0).standard_normal(100 * BLOCK).astype(np.float32) * 0.1
    device = FakeDevice(delay / RATE, microphone)
    player, clock = player_of(device)
    player.run(resting(device, clock, 100))
    out = device.output[:, 0]
    np.testing.assert_allclose(out[96:], counting(np.arange(96, len(out)) + delay), atol=1e-7)
    assert player.session.now_s > 99 * BLOCK / RATE


def test_a_stall_is_silence_and_the_stem_comes_back_in_phase():
    song = np.zeros(400 * BLOCK, np.float32)
    device = FakeDevice()
    player, clock = player_of(device, song=song)
    state = player.run(resting(device, clock, 1000, stalled=range(100, 160)))
    out, expected = device.output[:, 0], counting(np.arange(400 * BLOCK))
    assert state.num_underruns == 1
    assert 20 * BLOCK < state.missing_ms * RATE / 1000 < 62 * BLOCK
    assert state.in_time == pytest.approx(1 - state.missing_ms / 1000 / state.seconds)
    np.testing.assert_array_equal(out[96 : 100 * BLOCK], expected[96 : 100 * BLOCK])
    # this engine's stem counts its calls, and the session left out those that had come too late
    left_out = 480 * player.session.num_dropped
    np.testing.assert_array_equal(out[-100 * BLOCK :], counting(np.arange(300 * BLOCK, 400 * BLOCK) - left_out))
    assert 20 * BLOCK < (out[BLOCK:] == 0).sum() < 62 * BLOCK


def test_a_device_that_goes_ends_in_a_line_and_leaves_a_whole_record(tmp_path: Path):
    song = counting(np.arange(400 * BLOCK))
    device = FakeDevice()
    player, clock = player_of(device, song=song, folder=tmp_path)
    rest = resting(device, clock, 1000)

    def rest_till_gone() -> bool:
        device.is_alive = len(device.played) < 200
        return rest()

    with pytest.raises(MachineError, match="stopped") as refused:
        player.run(rest_till_gone)
    assert refused.value.exit_code == 5
    (folder,) = tmp_path.iterdir()
    mix, stem = (read_audio(folder / f"{name}.wav").wave[0] for name in ("mix", "stem"))
    assert len(mix) > 198 * BLOCK
    np.testing.assert_allclose(mix, song[: len(mix)], atol=2e-5)
    np.testing.assert_allclose(stem[: 198 * BLOCK], counting(np.arange(198 * BLOCK)), atol=2e-5)


def test_the_callback_allocates_nothing_that_stays_and_takes_little_time(report: Report):
    captured, stem = CaptureRing(1 << 16), StemBuffer(1 << 18)
    deck = Deck(captured, stem, np.zeros(1 << 18, np.float32), 512)
    out, took_s = np.zeros((BLOCK, 2), np.float32), []
    stem.write(0, np.full(1 << 17, 0.1, np.float32))
    for _ in range(20):
        deck(None, out, False)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(150):
        deck(None, out, False)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    captured.read()
    for _ in range(150):
        start = time.perf_counter()
        deck(None, out, False)
        took_s.append(time.perf_counter() - start)
    share = float(np.median(took_s)) / (BLOCK / 48_000)
    report("p1_local_player_callback_share_of_period", round(share, 4))
    assert grown < 2000
    assert share < 0.25
    deck(None, out, True)
    assert deck.num_xruns == 1


def test_the_display_shows_beat_levels_and_what_went_wrong():
    device = FakeDevice()
    player, clock = player_of(device, song=np.zeros(200 * BLOCK, np.float32))
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(draw(player.state()))
        console.print(draw(player.run(resting(device, clock, 150))))
    text = console.export_text()
    assert "listening for it" in text or "bpm" in text
    assert "120.0 bpm" in text
    assert "200 ms ahead" in text
    assert "100.00 % in time" in text


# -- devices and the command line


class FakePort:
    def close(self) -> None: ...


def test_a_midi_clock_gives_its_ticks_where_they_came(monkeypatch: pytest.MonkeyPatch):
    mido = pytest.importorskip("mido", reason="mido is an extra")
    receivers = []
    monkeypatch.setattr(mido, "get_input_names", lambda: ["Drum Box 1"], raising=False)
    monkeypatch.setattr(
        mido, "open_input", lambda _name, callback: receivers.append(callback) or FakePort(), raising=False
    )
    now = iter(range(0, 10_000, 500))
    with MidiClock("drum", lambda: next(now)) as clock:
        for kind in ("clock", "start", "clock", "clock"):
            receivers[0](mido.Message(kind))
        assert clock.take() == [0, 500, 1000]
        assert clock.take() == []
    with pytest.raises(MachineError, match=r"Drum Box 1"):
        MidiClock("piano", lambda: 0)


class FakePortAudio:
    """As much of the library as is asked for, with one loudspeaker and no microphone."""

    class PortAudioError(Exception): ...

    def query_devices(self, device: object = None, kind: str | None = None) -> object:
        if kind is None:
            return "> 0 Speaker, ALSA (0 in, 2 out)"
        if kind == "input" or device not in (None, 0):
            raise self.PortAudioError(f"Error querying device {device}")
        return {"name": "Speaker", "default_samplerate": 44_100.0, "default_low_output_latency": 0.01,
                "max_output_channels": 2, "max_input_channels": 0}  # fmt: skip

    def query_hostapis(self) -> list[dict[str, int]]:
        return [{"default_input_device": -1, "default_output_device": -1},
                {"default_input_device": -1, "default_output_device": 0}]  # fmt: skip

    def OutputStream(self, **_settings: object) -> object:  # noqa: N802
        raise self.PortAudioError("Invalid sample rate")


def test_devices_refuse_with_the_list_of_those_that_are_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "_sounddevice", FakePortAudio)
    for wanted in (Wanted(True), Wanted(False, 7)):
        with pytest.raises(MachineError, match="0 Speaker") as refused:
            devices.PortAudioDevice(wanted)
        assert refused.value.exit_code == 5
    device = devices.PortAudioDevice(Wanted(False))
    assert device.sample_rate == 44_100
    assert not device.is_alive
    with pytest.raises(MachineError, match="Invalid sample rate"):
        device.start(lambda heard, out, is_xrun: None)


@pytest.mark.parametrize(
    ("given", "word"),
    [(["--bpm", "9"], "30..300"), (["--block", "9"], "32"), (["--lookahead-ms", "5"], "negative")],
)
def test_what_makes_no_sense_is_refused(given: list[str], word: str):
    with pytest.raises(UsageError, match=re.escape(word)):
        command.settings_of(command.parser().parse_args(given), 48_000)
    with pytest.raises(UsageError, match="48000"):
        command.settings_of(command.parser().parse_args([]), 22_051)


def test_the_command_plays_a_file_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    song = np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32) * 0.1
    write_wav(tmp_path / "song.wav", song, RATE)
    device = FakeDevice()
    times = SimpleNamespace(sleep=lambda _seconds: device.call_back(), monotonic=time.monotonic)
    monkeypatch.setattr(command, "time", times)
    args = command.parser().parse_args(
        [str(tmp_path / "song.wav"), "--bpm", "120", "--record", str(tmp_path / "kept"), "--lookahead-ms", "-400"]
    )
    with open("/dev/null", "w") as nowhere:
        state = command.play(args, device, FakeEngine(), Console(file=nowhere))
    assert state.seconds == pytest.approx(1.0, abs=0.03)
    assert state.lookahead_ms == -400
    kept = read_audio(tmp_path / "kept" / "session-0001-1" / "mix.wav").wave[0]
    np.testing.assert_allclose(kept[: RATE - BLOCK], to_mono(song)[: RATE - BLOCK], atol=2e-4)


@pytest.mark.slow
def test_without_a_device_the_command_says_so_and_exits_5(tmp_path: Path):
    try:
        import sounddevice
    except OSError:
        code = "no_portaudio"
    else:
        if len(sounddevice.query_devices()):
            pytest.skip("this machine has a sound device")
        code = "no_device"
    write_wav(tmp_path / "song.wav", np.zeros((1, 4800), np.float32), 48_000)
    for given in ([str(tmp_path / "song.wav")], []):
        made = subprocess.run(
            [sys.executable, "-m", "gigmate.play", *given], capture_output=True, text=True, timeout=120, check=False
        )
        assert made.returncode == 5, made.stderr
        assert made.stderr.startswith(f"error[GM-{code}]")
        assert made.stderr.count("\n") == 1


@pytest.fixture
def jack(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A dummy JACK server of our own under PortAudio: the environment to reach it."""
    if shutil.which("jackd") is None:
        pytest.skip("no jackd here: the callback isn't tried on a real PortAudio stream")
    name = f"gigmate-{tmp_path.name}"
    call = ["jackd", "--no-realtime", "-n", name, "-d", "dummy", "-r", "48000", "-p", "960"]
    server = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(3.0)
        yield {**os.environ, "JACK_DEFAULT_SERVER": name, "OMP_WAIT_POLICY": "PASSIVE"}
    finally:
        server.terminate()
        server.wait(10)


def jack_figures(env: dict[str, str], seconds: float, num_stalls: int) -> dict[str, float]:
    call = [sys.executable, str(Path(__file__).with_name("jack_player.py")), str(seconds), str(num_stalls)]
    made = subprocess.run(call, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_minute_on_a_dummy_jack_server_loses_nothing(jack: dict[str, str], report: Report):
    quiet = jack_figures(jack, 60.0, 0)
    report("p1_local_player_xruns", quiet["xruns"], f"of {quiet['calls']:.0f}")
    report("p1_local_player_callback_p99_share", round(quiet["share_p99"], 4))
    assert quiet["calls"] >= 2990
    assert quiet["share_p99"] <= 0.25
    if os.getloadavg()[0] < 1.0:  # another program's turn on this core is an xrun of ours
        assert quiet["xruns"] == 0
        assert quiet["underruns"] == 0


@pytest.mark.slow
def test_stalls_of_the_callback_are_seen(jack: dict[str, str], report: Report):
    stalled = jack_figures(jack, 15.0, 12)
    report("p1_local_player_stalls_seen", stalled["xruns"], "of 12")
    assert stalled["xruns"] >= 11


def test_midi_without_the_library_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(MachineError, match=r"gigmate\[player"):
        midi_clock.MidiClock("any", lambda: 0)
