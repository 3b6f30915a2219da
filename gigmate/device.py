"""Which device, number type and thread count a run takes: besides `conf/`, the only place that names devices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch

from gigmate.errors import MachineError

_DTYPES = MappingProxyType({"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16})


_CPU = torch.device("cpu")
_WARM_UPS = 3


@dataclass(frozen=True)
class Device:
    """What a run computes on; by default the CPU in float32.

    Args:
        device: of the model.
        dtype: of the model's weights and activations.
        codec_device: of the codec, which always computes in float32.
        threads: CPU threads; None: as torch finds best.
        weights: how the model's weights are held for playing step by step, `int8` or `float32`; None: as they are. Only
            for a CPU that computes in float32.
        graph: play step by step by replaying a CUDA graph.
    """

    device: torch.device = _CPU
    dtype: torch.dtype = torch.float32
    codec_device: torch.device = _CPU
    threads: int | None = None
    weights: Literal["int8", "float32"] | None = "int8"
    graph: bool = False


def available() -> tuple[str, ...]:
    """Kinds of device that this machine has, the fastest first."""
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return tuple(name for name, is_there in has.items() if is_there)


def check_accelerator(name: str, where: str = "trainer.accelerator") -> str:
    """The kind of device that `name` means here: `auto` is the fastest there is.

    Raises:
        MachineError: this machine has none of that kind.
    """
    here = available()
    if name == "auto":
        return here[0]
    if name not in here:
        what = f"{name} isn't available on this machine, which has {', '.join(here)}"
        raise MachineError("no_device", what, where, f"choose {here[0]} or auto")
    return name


def resolve(config: Mapping[str, Any]) -> Device:
    """The device of a run.

    Args:
        config: the settings of the group `device`: name, codec (None: the same), dtype, threads, weights, graph.

    Raises:
        MachineError: a device that isn't there, or a number type that it doesn't have.
    """
    name = check_accelerator(config["name"], "device.name")
    codec = check_accelerator(config["codec"], "device.codec") if config["codec"] else name
    if name == "cpu" and config["dtype"] == "float16":
        raise MachineError(
            "no_dtype", "float16 is slower than float32 on a CPU", "device.dtype", "choose float32 or bfloat16"
        )
    if config["graph"] and name != "cuda":
        raise MachineError(
            "no_graph", f"{name} has no CUDA graphs", "device.graph", "choose cuda or device.graph=false"
        )
    weights = config["weights"] if name == "cpu" and config["dtype"] == "float32" else None
    dtype = _DTYPES[config["dtype"]]
    return Device(torch.device(name), dtype, torch.device(codec), config["threads"], weights, config["graph"])


def has_float64(device: torch.device | str) -> bool:
    """Whether `device` computes in double precision; Apple's GPUs don't."""
    return torch.device(device).type != "mps"


def captured(work: Callable[[], None]) -> Callable[[], None]:
    """What does `work` again, in the same memory, as a CUDA graph: no Python, no launches one by one.

    Args:
        work: on the CUDA device, without anything that waits for it or depends on values there.
    """
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):  # kernels are chosen and workspaces made before anything is captured
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def use_threads(device: Device) -> None:
    """Have torch compute on as many CPU threads as `device` says; they are shared by the whole process."""
    if device.threads is not None:
        torch.set_num_threads(device.threads)
