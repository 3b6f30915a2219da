"""Every codec by its exact name, as configs and checkpoints write it."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gigmate.codec.base import Codec, CodecSpec
from gigmate.errors import UsageError

_OPTIONS = {
    "compact": ("weights",),
    "encodec_24khz": ("bandwidth_kbps", "weights_dir"),
    "encodec_48khz": ("bandwidth_kbps", "weights_dir"),
    "encodec_32khz": ("num_codebooks", "weights_dir"),
    "dac_44khz": ("num_codebooks", "weights_dir"),
    "mimi": ("num_codebooks", "weights_dir"),
}

CODEC_NAMES = tuple(_OPTIONS)
"""All names that `load_codec` takes."""


def load_codec(config: Mapping[str, Any] | str, device: torch.device | str = "cpu") -> Codec:
    """The codec that a config names, with its weights, on `device`.

    Args:
        config: a name, or a mapping of `name` and what that codec takes: `weights` (compact: the path of a bundle;
            null is what ships; `random` is untrained, the same every time), `bandwidth_kbps` (EnCodec 24 and 48 kHz),
            `num_codebooks` (EnCodec 32 kHz, DAC, Mimi), `weights_dir` (all but compact).
        device: where to put it.

    Raises:
        UsageError: no such codec, an option that it doesn't have, or a value out of range.
        CheckpointError: weights that are missing where they were said to be, or damaged.
        MachineError: a package is missing, or weights have to be fetched and the machine is offline.
    """
    options: dict[str, Any] = {"name": config} if isinstance(config, str) else dict(config)
    name = _known(options.pop("name", None), CODEC_NAMES, "codec.name")
    for option in options:
        _known(option, _OPTIONS[name], f"codec.{option}")
    given = {key: value for key, value in options.items() if value is not None}
    if name == "compact":
        return _load_compact(given.get("weights"), device)
    if name in ("encodec_24khz", "encodec_48khz"):
        from gigmate.codec.encodec import load_encodec

        return load_encodec(name, **given, device=device)
    from gigmate.codec.hub import load_hub_codec

    return load_hub_codec(name, **given, device=device)


def config_of(spec: CodecSpec) -> dict[str, Any]:
    """The config that loads a codec of the same name and number of codebooks, for instance a checkpoint's.

    Compare fingerprints after loading: the weights may be others.

    Raises:
        UsageError: this version has no codec of that name.
    """
    name = _known(spec.name, CODEC_NAMES, "the checkpoint's codec")
    if name == "encodec_24khz":
        return {"name": name, "bandwidth_kbps": 0.75 * spec.num_codebooks}
    if name == "encodec_48khz":
        return {"name": name, "bandwidth_kbps": 1.5 * (spec.num_codebooks - 1)}
    return {"name": name} if name == "compact" else {"name": name, "num_codebooks": spec.num_codebooks}


def _load_compact(weights: str | None, device: torch.device | str) -> Codec:
    from gigmate.codec.compact import CompactCodec, CompactConfig, load_compact

    if weights != "random":
        return load_compact(None if weights is None else Path(weights), device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = CompactCodec(CompactConfig())
        codec.quantizer.vectors.normal_(std=0.1)
    return codec.eval().to(device)


def _known(value: Any, allowed: tuple[str, ...], where: str) -> str:
    if value in allowed:
        return value
    close = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(allowed)}"
    raise UsageError("value", f"{value!r} isn't known", where, hint)
