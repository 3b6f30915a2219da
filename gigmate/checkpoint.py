"""From a file to a model that plays: published bundles (`.safetensors`) and checkpoints of our trainings (`.ckpt`)."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gigmate.codec.base import CodecSpec
from gigmate.errors import CheckpointError
from gigmate.files.bundle import FORMAT, Bundle, check_finite, describe_bundle, parse_about, read_bundle, strip_prefix
from gigmate.files.ckpt_file import load_ckpt
from gigmate.files.weights_file import open_regular
from gigmate.model.config import ModelConfig
from gigmate.model.lm import AccompanimentLM

ABOUT_KEY = "gigmate"
"""Entry of a training checkpoint with the JSON text of what a bundle says about itself."""
NETWORK = "net."
"""What our training modules call their network, in front of the names of its weights."""
AVERAGE_KEY = "average"
"""Entry of a training checkpoint with the averaged weights, by the names of `state_dict`."""


@dataclass(frozen=True)
class LoadedLM:
    """A language model ready to use, the codec it was trained on, and the bundle it came from."""

    model: AccompanimentLM
    codec: CodecSpec
    bundle: Bundle


def lm_bundle(model: AccompanimentLM, codec: CodecSpec, provenance: dict[str, Any], metrics: dict[str, Any]) -> Bundle:
    """A model and what it depends on, ready to be saved."""
    return Bundle("lm", model.config.to_dict(), model.state_dict(), asdict(codec), provenance, metrics)


def load_any(path: Path | str, kind: str | None = None, *, allow_nan: bool = False) -> Bundle:
    """A bundle from either kind of file; of a `.ckpt` the averaged weights, if it has any.

    Raises:
        CheckpointError: see `read_bundle` and `load_ckpt`.
    """
    with open_regular(path) as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    return _bundle_of_ckpt(path, kind, allow_nan) if is_zip else read_bundle(path, kind, allow_nan=allow_nan)


def load_lm(path: Path | str, device: torch.device | str = "cpu", *, allow_nan: bool = False) -> LoadedLM:
    """The language model in `path`, in evaluation mode on `device`, in float32.

    Raises:
        CheckpointError: the file is refused, holds no language model, or its weights don't fit its config.
    """
    bundle = load_any(path, "lm", allow_nan=allow_nan)
    try:
        config, codec = ModelConfig.from_dict(bundle.config), CodecSpec(**bundle.codec)
        model = AccompanimentLM(config)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError("config", f"its config makes no model: {error}", path, "pass another") from error
    bundle.load_into(model)
    return LoadedLM(model.eval().to(device), codec, bundle)


def describe(path: Path | str) -> dict[str, Any]:
    """What a checkpoint of either kind says about itself, without building anything."""
    with open_regular(path) as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if not is_zip:
        return describe_bundle(path)
    bundle = _bundle_of_ckpt(path, None, allow_nan=True)
    about = _without_tensors(bundle)
    num_parameters = sum(tensor.numel() for tensor in bundle.state.values())
    return {**about, "format": FORMAT, "num_parameters": num_parameters, "bytes": Path(path).stat().st_size}


def check_codec(trained_on: CodecSpec, codec: CodecSpec, path: Path | str = "") -> None:
    """Refuse a codec whose codes mean something else to the model.

    Raises:
        CheckpointError: `other_codec`, with both fingerprints.
    """
    if trained_on.fingerprint != codec.fingerprint:
        what = (
            f"trained on codec {trained_on.name} ({trained_on.fingerprint[:12]}), "
            f"but codec is {codec.name} ({codec.fingerprint[:12]})"
        )
        raise CheckpointError("other_codec", what, path, f"use codec={trained_on.name} with the weights it had")


def about_text(bundle: Bundle) -> str:
    """What a training checkpoint says about itself under `ABOUT_KEY`."""
    about = _without_tensors(bundle)
    return json.dumps({"format": FORMAT, **about, "sha256": ""}, sort_keys=True, allow_nan=False)


def _without_tensors(bundle: Bundle) -> dict[str, Any]:
    return {name: value for name, value in vars(bundle).items() if name not in ("state", "tables")}


def _bundle_of_ckpt(path: Path | str, kind: str | None, allow_nan: bool) -> Bundle:
    with open_regular(path) as file:
        content = load_ckpt(file, path)
    about = parse_about({"gigmate": content.get(ABOUT_KEY, "null")}, path)
    if kind not in (None, about["kind"]):
        raise CheckpointError("wrong_kind", f"holds a {about['kind']}, a {kind} is needed", path, "pass another")
    state = content.get(AVERAGE_KEY) or content["state_dict"]
    # what else the training module holds (losses, metrics) isn't part of the network
    state = {n.removeprefix(NETWORK): t for n, t in strip_prefix(state).items() if n.startswith(NETWORK)}
    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise CheckpointError("not_checkpoint", "weights that are no tensors", path, "pass another")
    bundle = Bundle(about["kind"], about["config"], state, about["codec"], about["provenance"], about["metrics"])
    if not allow_nan:
        check_finite(state, path)
    return bundle
