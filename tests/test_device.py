"""A run gets the device it asked for, or a line that says what there is."""

import pytest
import torch

from gigmate import device
from gigmate.errors import MachineError

CPU = {"name": "cpu", "codec": None, "dtype": "float32", "threads": None, "weights": "int8", "graph": False}


def test_a_device_that_is_not_there_is_an_error_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "available", lambda: ("cpu",))
    for name in ("cuda", "mps"):
        with pytest.raises(MachineError, match=f"{name} isn't available.* has cpu; trainer.accelerator") as caught:
            device.check_accelerator(name)
        assert caught.value.exit_code == 5
        with pytest.raises(MachineError, match=r"device\.codec"):
            device.resolve({**CPU, "codec": name})


def test_auto_takes_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "available", lambda: ("mps", "cpu"))
    assert device.check_accelerator("auto") == "mps"
    resolved = device.resolve({**CPU, "name": "auto", "codec": "cpu", "dtype": "bfloat16"})
    assert (resolved.device.type, resolved.codec_device.type, resolved.dtype) == ("mps", "cpu", torch.bfloat16)


def test_the_codec_runs_beside_the_model_by_default() -> None:
    assert device.resolve(CPU) == device.Device(torch.device("cpu"), torch.float32, torch.device("cpu"))


def test_cpu_is_always_there_and_last() -> None:
    assert device.available()[-1] == "cpu"


def test_half_precision_is_refused_on_a_cpu() -> None:
    with pytest.raises(MachineError, match="choose float32 or bfloat16"):
        device.resolve({**CPU, "dtype": "float16"})


def test_threads_are_set_only_if_asked_for() -> None:
    before = torch.get_num_threads()
    device.use_threads(device.resolve(CPU))
    assert torch.get_num_threads() == before
    try:
        device.use_threads(device.resolve({**CPU, "threads": before + 1}))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_graphs_are_for_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineError, match=r"cpu has no CUDA graphs; device\.graph") as caught:
        device.resolve({**CPU, "graph": True})
    assert caught.value.exit_code == 5
    monkeypatch.setattr(device, "available", lambda: ("cuda", "cpu"))
    assert device.resolve({**CPU, "name": "cuda", "graph": True}).graph
    assert not device.resolve({**CPU, "name": "cuda"}).graph
