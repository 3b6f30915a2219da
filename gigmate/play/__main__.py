"""`python -m gigmate.play song.wav`: the bandmate plays along, through this machine's sound devices.

With a file the file is played and the bandmate joins in; without one it plays with what the device captures.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.live import Live

from gigmate.accompanist import Accompanist
from gigmate.audio import read_audio, resample
from gigmate.errors import GigmateError, UsageError
from gigmate.live.beats import SourceName
from gigmate.live.engine import Engine
from gigmate.live.frames import FrameEngine
from gigmate.live.settings import SessionSettings
from gigmate.live.stage import Stage
from gigmate.music.instruments import INSTRUMENTS
from gigmate.play.devices import PortAudioDevice, SoundDevice, Wanted, list_devices
from gigmate.play.display import draw
from gigmate.play.midi_clock import MidiClock
from gigmate.play.player import MAX_BLOCK_SAMPLES, LocalPlayer, State, to_mono
from gigmate.play.rings import Wave
from gigmate.play.tap_key import TapKey

_REST_S = 0.003
_SHOWN_HZ = 10.0
_CODEC_RATE, _HOP = 24_000, 480


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m gigmate.play", description=__doc__)
    made.add_argument("song", type=Path, nargs="?", help="an audio file to play along with")
    made.add_argument("--instrument", default="drums", choices=INSTRUMENTS[:-1])
    made.add_argument("--device", help="number or a part of the name; see --list-devices")
    made.add_argument("--list-devices", action="store_true")
    made.add_argument("--rate", type=int, default=48_000, help="Hz of the device")
    made.add_argument("--block", type=int, default=256, help=f"samples a callback, 32..{MAX_BLOCK_SAMPLES}")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--lookahead-ms", type=float, help="negative; as short as this machine can, if it isn't given")
    made.add_argument("--bpm", type=float, help="a steady tempo from the first sample on, instead of tracking the beat")
    made.add_argument("--beats-per-bar", type=int, default=4, choices=range(2, 13), metavar="2..12")
    made.add_argument("--tap", action="store_true", help="tap the beat on any key, instead of tracking it")
    made.add_argument("--midi-clock", metavar="PORT", help="follow the MIDI clock of this input")
    made.add_argument("--record", type=Path, metavar="FOLDER", help="keep mix, stem and events in a folder in it")
    made.add_argument("--seconds", type=float, help="stop after so long")
    made.add_argument("--ckpt", type=Path, help="weights; those that ship, if it isn't given")
    return made


def settings_of(args: argparse.Namespace, sample_rate: int) -> SessionSettings:
    """The session that the command line asks for.

    Raises:
        UsageError: a value out of range, or several sources of the beat.
    """
    if not 32 <= args.block <= MAX_BLOCK_SAMPLES:
        raise UsageError("block", f"{args.block} samples, must be in 32..{MAX_BLOCK_SAMPLES}", "--block")
    if args.bpm is not None and not 30 <= args.bpm <= 300:
        raise UsageError("bpm", f"{args.bpm:g} bpm, must be in 30..300", "--bpm")
    if args.lookahead_ms is not None and not args.lookahead_ms < 0:
        raise UsageError(
            "lookahead", f"{args.lookahead_ms:g} ms, must be negative: the song isn't known", "--lookahead-ms"
        )
    if _HOP * sample_rate % _CODEC_RATE:
        what = f"a device at {sample_rate} Hz, but a frame of 20 ms must hold whole samples"
        raise UsageError("rate", what, "--rate", "take 48000 or 44100")
    given: dict[SourceName, bool] = {
        "clock": args.midi_clock is not None,
        "tap": args.tap,
        "tempo": args.bpm is not None,
    }
    sources: list[SourceName] = [name for name, is_given in given.items() if is_given]
    if len(sources) > 1:
        raise UsageError("beats", "--midi-clock, --tap and --bpm all say where the beat is", "", "give one of them")
    return SessionSettings(
        sample_rate=sample_rate,
        is_pcm16=False,
        instrument=args.instrument,
        seed=args.seed,
        beats=sources[0] if sources else "tracker",
        bpm=args.bpm,
        beats_per_bar=args.beats_per_bar,
        lookahead_ms=args.lookahead_ms,
        buffer_ms=2000 * args.block / sample_rate,  # a block is filled while another one sounds
    )


def play(args: argparse.Namespace, device: SoundDevice, engine: FrameEngine, console: Console) -> State:
    """Play as the command line says; the last state.

    Raises:
        InputError: a song that can't be read.
        MachineError: the device refuses or goes; no such MIDI port; no terminal to tap on.
        UsageError: see `settings_of`.
    """
    settings = settings_of(args, device.sample_rate)
    song = None if args.song is None else song_at(args.song, device.sample_rate)
    if song is None:
        settings = settings_with_delay(settings, device.delay_s)
    stage = Stage(engine, time.monotonic, args.record)
    player = LocalPlayer(stage, device, settings, time.monotonic, song=song, is_recorded=args.record is not None)
    with Live(draw(player.state()), console=console, auto_refresh=False, transient=True) as live:
        rest = _resting(player, args.seconds, lambda state: live.update(draw(state), refresh=True))
        if args.midi_clock is not None:
            with MidiClock(args.midi_clock, lambda: player.num_captured) as midi:
                return player.run(rest, midi)
        if args.tap:
            with TapKey(sys.stdin.fileno(), lambda: player.num_captured) as taps:
                return player.run(rest, taps=taps)
        return player.run(rest)


def settings_with_delay(settings: SessionSettings, delay_s: float) -> SessionSettings:
    """The same for a session that hears a microphone: what it plays leaves so much earlier."""
    return replace(settings, device_delay_ms=1000 * delay_s)


def song_at(path: Path, sample_rate: int) -> Wave:
    """A song as the device plays it: [N] at its rate.

    Raises:
        InputError: it can't be read.
    """
    audio = read_audio(path)
    return to_mono(resample(audio.wave, audio.sample_rate, sample_rate))


def _resting(player: LocalPlayer, seconds: float | None, show: Callable[[State], None]) -> Callable[[], bool]:
    """Sleeps between turns, shows the state ten times a second, and says when the time is over."""
    shown_s = 0.0

    def rest() -> bool:
        nonlocal shown_s
        time.sleep(_REST_S)
        if time.monotonic() - shown_s >= 1 / _SHOWN_HZ:
            shown_s = time.monotonic()
            show(player.state())
        return seconds is None or player.num_captured < seconds * player.rate

    return rest


def main() -> None:
    """Read the command line and play."""
    args = parser().parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if args.list_devices:
        sys.stdout.write((list_devices() or "no sound device here") + "\n")
        return
    name = int(args.device) if args.device and args.device.isdigit() else args.device
    device = PortAudioDevice(Wanted(args.song is None, name, args.rate, args.block))
    settings_of(args, device.sample_rate)
    engine = Engine(Accompanist.load(args.ckpt), capacity=1)
    engine.warm_up()
    console = Console()
    try:
        state = play(args, device, engine, console)
    except KeyboardInterrupt:
        return
    console.print(f"{state.seconds:.1f} s, {100 * state.in_time:.2f} % in time, ran out {state.num_underruns}x")


if __name__ == "__main__":
    try:
        main()
    except GigmateError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
