"""Sound devices through PortAudio: the list, a stream, and every refusal as a sentence with the list beside it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gigmate.errors import MachineError

Block = NDArray[np.float32]
Callback = Callable[[Block | None, Block, bool], None]
"""Given what was captured [n] (None: nothing is), what is to be played [n, channels], and whether samples were lost."""

_REMEDY = "choose one with --device, or plug one in; --list-devices shows them"


@dataclass(frozen=True)
class Wanted:
    """What a player needs of a device.

    Args:
        is_heard: it captures too; else it plays alone.
        device: number or part of a name; None: the usual one.
        sample_rate: Hz; None: that of the device.
        block_samples: of a callback.
    """

    is_heard: bool
    device: int | str | None = None
    sample_rate: int | None = None
    block_samples: int = 256


class SoundDevice(Protocol):
    """An opened device; calls back once a block from `start` on."""

    sample_rate: int
    delay_s: float
    """From the microphone to the callback and from there to the loudspeaker, together."""

    def start(self, callback: Callback) -> AbstractContextManager[object]:
        """Run until the context ends.

        Raises:
            MachineError: the device refuses.
        """
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it still calls back; a device that was pulled out doesn't."""
        ...


class PortAudioDevice:
    """A device of this machine.

    Args:
        wanted: which, and how.

    Raises:
        MachineError: there is no such device, or it refuses the rate; with the list of those that are there.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._sd, self._wanted = _sounddevice(), wanted
        facts = self._facts()
        self.sample_rate = wanted.sample_rate or round(facts["default_samplerate"])
        kind = "input" if wanted.is_heard else "output"
        self.delay_s = float(facts["default_low_output_latency"])
        if wanted.is_heard:
            self.delay_s += float(facts["default_low_input_latency"])
        self._channels = min(2, int(facts["max_output_channels"]))
        if not self._channels or (wanted.is_heard and not facts["max_input_channels"]):
            raise self._refusal(f"the device {facts['name']!r} has no {kind}")
        self._stream: Any = None

    @property
    def is_alive(self) -> bool:
        """See `SoundDevice`."""
        return self._stream is not None and bool(self._stream.active)

    def start(self, callback: Callback) -> AbstractContextManager[object]:
        """See `SoundDevice`."""
        shared = {
            "samplerate": self.sample_rate,
            "blocksize": self._wanted.block_samples,
            "dtype": "float32",
            "latency": "low",
        }
        try:
            if self._wanted.is_heard:
                self._stream = self._sd.Stream(
                    device=(self._chosen("input"), self._chosen("output")),
                    channels=(1, self._channels),
                    callback=lambda heard, out, _frames, _time, status: callback(heard[:, 0], out, bool(status)),
                    **shared,
                )
                self.delay_s = float(sum(self._stream.latency))
            else:
                self._stream = self._sd.OutputStream(
                    device=self._chosen("output"),
                    channels=self._channels,
                    callback=lambda out, _frames, _time, status: callback(None, out, bool(status)),
                    **shared,
                )
                self.delay_s = float(self._stream.latency)
        except (self._sd.PortAudioError, ValueError) as error:
            raise self._refusal(str(error)) from error
        return self._stream

    def _facts(self) -> dict[str, Any]:
        """Of the device; of two usual ones (in and out), both together."""
        try:
            found = dict(self._sd.query_devices(self._chosen("output"), "output"))
            if self._wanted.is_heard:
                heard = self._sd.query_devices(self._chosen("input"), "input")
                found |= {key: heard[key] for key in ("max_input_channels", "default_low_input_latency")}
        except (self._sd.PortAudioError, ValueError) as error:
            raise self._refusal(str(error)) from error
        return found

    def _chosen(self, kind: str) -> int | str | None:
        """The device, or the usual one of the first host that has one: PortAudio itself asks only its first host."""
        if self._wanted.device is not None:
            return self._wanted.device
        usual = [int(host[f"default_{kind}_device"]) for host in self._sd.query_hostapis()]
        return next((device for device in usual if device >= 0), None)

    def _refusal(self, why: str) -> MachineError:
        return MachineError("no_device", why, f"devices here: {list_devices() or 'none'}", _REMEDY)


def list_devices() -> str:
    """The devices of this machine, one in a line with its number; empty if there is none.

    Raises:
        MachineError: PortAudio itself is missing.
    """
    return str(_sounddevice().query_devices())


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        remedy = "pip install 'gigmate[player]', and the PortAudio library (libportaudio2) on Linux"
        raise MachineError("no_portaudio", f"sound devices can't be reached ({error})", "", remedy) from error
    return sounddevice
