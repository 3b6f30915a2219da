"""The one format of published weights: a `.safetensors` file that says what it holds and notices a flipped bit.

The safetensors metadata has one entry, `gigmate`: a JSON text with the fields of `Bundle` (but the tensors) and
`sha256`, a fingerprint over those fields and every tensor. Nothing in a bundle is imported, called or fetched,
and nothing is sized by a claim in it: the header's sizes are compared with the file before that is read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from gigmate.errors import CheckpointError
from gigmate.files.atomic import write_bytes
from gigmate.files.weights_file import open_regular, read_header

FORMAT = 1
KINDS = ("lm", "codec", "fit")
_FIELDS = ("config", "codec", "provenance", "metrics")
_PREFIXES = ("module.", "_orig_mod.")
_TABLE = "table:"
"""In a file, what stands before the names of tables."""
_AGAIN = "fetch or export it again"


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def fingerprint(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """Hex SHA-256 over settings and weights: equal if names, types, shapes, bytes and settings are.

    The order of the names doesn't count.

    Args:
        state: tensors by name, on any device.
        config: primitives only (what JSON can say, finite numbers).
    """
    digest = hashlib.sha256(_canonical(config))
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(_canonical([name, str(tensor.dtype), list(tensor.shape)]))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_finite(state: Mapping[str, Tensor], where: object, remedy: str = "allow_nan=true takes it") -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        CheckpointError: `non_finite`, with the name of the first.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError("non_finite", f"{name} isn't finite", where, remedy)


@dataclass(frozen=True)
class Bundle:
    """Weights with all that is needed to use them and to know where they came from.

    Args:
        kind: `lm`, `codec` or `fit` (`gigmate.evaluation.fit`).
        config: settings of the model, primitives only; the model is built from these and nothing else.
        state: tensors by name.
        codec: the fields of the `CodecSpec` that an `lm` was trained on; empty for a codec.
        provenance: data, steps, seed, code version, date, licence: whatever tells how this came about.
        metrics: figures by name.
        tables: tensors by name that follow from the weights and take long to work out. Optional: who makes other
            weights of these leaves them out.
    """

    kind: str
    config: dict[str, Any]
    state: dict[str, Tensor]
    codec: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a bundle is one of {KINDS}, not {self.kind!r}")

    def save(self, path: Path | str, *, half: bool = False) -> str:
        """Write it under `path`, whole or not at all; returns its `sha256`.

        Args:
            path: where to; missing folders are made.
            half: store floating-point weights as float16 (half the size, a relative error of 5e-4).

        Raises:
            CheckpointError: `non_finite`: a weight is NaN or infinite, or too large for float16.
            MachineError: the disk is full or can't be written.
        """
        state = {name: _stored(tensor, half) for name, tensor in self.state.items()}
        state |= {_TABLE + name: _stored(tensor, half=False) for name, tensor in self.tables.items()}
        check_finite(state, path, "it can't be published; too large for float16?")
        about = {"format": FORMAT, "kind": self.kind, **{name: getattr(self, name) for name in _FIELDS}}
        sha256 = fingerprint(state, about)
        text = json.dumps({**about, "sha256": sha256}, sort_keys=True, allow_nan=False)
        write_bytes(path, safetensors.torch.save(state, {"gigmate": text}))
        return sha256

    def load_into(self, module: nn.Module) -> None:
        """Put the weights into `module`; see `load_state`."""
        load_state(module, self.state, f"bundle of a {self.kind}")


def read_bundle(path: Path | str, kind: str | None = None, *, allow_nan: bool = False) -> Bundle:
    """Read and verify a bundle; tensors are on the CPU, in the type that was stored.

    Args:
        path: a file that `Bundle.save` wrote.
        kind: refuse any other kind.
        allow_nan: take weights that aren't finite.

    Raises:
        CheckpointError: `missing`, `empty`, `not_regular`, `not_checkpoint`, `truncated`, `too_large`,
            `newer_format`, `wrong_kind`, `corrupt` or `non_finite`.
    """
    with open_regular(path) as file:
        about = parse_about(read_header(file, path).metadata, path)
        if kind not in (None, about["kind"]):
            raise CheckpointError("wrong_kind", f"holds a {about['kind']}, a {kind} is needed", path, "pass another")
        file.seek(0)
        try:
            state = safetensors.torch.load(file.read())
        except safetensors.SafetensorError as error:
            raise CheckpointError("not_checkpoint", f"bad safetensors: {error}", path, _AGAIN) from error
    sha256 = about.pop("sha256")
    if fingerprint(state, about) != sha256:
        raise CheckpointError("corrupt", "the content doesn't match its SHA-256", path, _AGAIN)
    if not allow_nan:
        check_finite(state, path)
    tables = {name.removeprefix(_TABLE): state.pop(name) for name in list(state) if name.startswith(_TABLE)}
    return Bundle(about["kind"], state=state, **{name: about[name] for name in _FIELDS}, tables=tables)


def parse_about(metadata: Mapping[str, Any], path: Path | str) -> dict[str, Any]:
    """The fields of a bundle from the metadata of its file, with `sha256`.

    Raises:
        CheckpointError: `not_checkpoint` or `newer_format`.
    """
    try:
        about = json.loads(metadata.get("gigmate", "null"))
    except (ValueError, RecursionError, TypeError):
        about = None
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        remedy = "pass a file that GigMate exported"
        raise CheckpointError("not_checkpoint", "safetensors, but no GigMate bundle", path, remedy)
    if about["format"] > FORMAT:
        what = f"made with format {about['format']}, this program reads up to {FORMAT}"
        raise CheckpointError("newer_format", what, path, "update gigmate")
    sound = all(isinstance(about.get(name), dict) for name in _FIELDS) and isinstance(about.get("sha256"), str)
    if not sound or about.get("kind") not in KINDS:
        raise CheckpointError("not_checkpoint", "the entry `gigmate` of its header is damaged", path, _AGAIN)
    return about


def describe_bundle(path: Path | str) -> dict[str, Any]:
    """What a bundle says about itself, from the header alone: quick, and not verified.

    Returns:
        The fields of `Bundle` but `state`, with `format`, `sha256`, `num_parameters` and `bytes`.

    Raises:
        CheckpointError: as `read_bundle`, but for `corrupt` and `non_finite`.
    """
    with open_regular(path) as file:
        header = read_header(file, path)
    about = parse_about(header.metadata, path)
    return {**about, "num_parameters": header.num_values, "bytes": header.file_bytes}


def strip_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without the `module.` or `_orig_mod.` that wrappers put before every name: once, in front only."""
    stripped = dict(state)
    for prefix in _PREFIXES:
        if stripped and all(name.startswith(prefix) for name in stripped):
            stripped = {name.removeprefix(prefix): tensor for name, tensor in stripped.items()}
    return stripped


def load_state(module: nn.Module, state: Mapping[str, Tensor], where: object = "") -> None:
    """Put `state` into `module`, where every name and shape must fit; float types are converted.

    Raises:
        CheckpointError: `keys`, see `check_fit`.
    """
    state = strip_prefix(state)
    check_fit(module.state_dict(), state, where)
    module.load_state_dict(state)


def check_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], where: object = "") -> None:
    """Refuse weights `state` that don't fit the weights `own` of a module, name by name and shape by shape.

    Raises:
        CheckpointError: `keys`, with the first ten that are missing, extra or of another shape.
    """
    faults = [f"missing {name}" for name in own if name not in state]
    faults += [f"extra {name}" for name in state if name not in own]
    faults += [
        f"{name} is {list(state[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if faults:
        more = f" and {len(faults) - 10} more" if len(faults) > 10 else ""
        what = f"the weights don't fit the model: {', '.join(faults[:10])}{more}"
        raise CheckpointError(
            "keys", what, where, "pass the checkpoint of this model, or this checkpoint's model config"
        )


def _stored(tensor: Tensor, half: bool) -> Tensor:
    dtype = torch.float16 if half and tensor.is_floating_point() else tensor.dtype
    # cloned: tensors that share memory are refused by safetensors
    return tensor.detach().to("cpu", dtype).clone(memory_format=torch.contiguous_format)
