"""Fixtures that every test file may use."""

from pathlib import Path

import pytest
import torch

REPO = Path(__file__).parent.parent
pytest_plugins = ["reporting"]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The checkout."""
    return REPO


@pytest.fixture(scope="session")
def in_small() -> list[str]:
    """What makes `train.py experiment=smoke` as short as it can be."""
    return ["codec.weights=random", "data.source.seconds=6", "trainer.max_steps=2", "trainer.limit_val_batches=1"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data that lies beside the checkout on the builders' machines; it isn't part of the repository."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}: this test needs the builders' real recordings and MIDI files")
    return folder
