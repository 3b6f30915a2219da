"""Where the `encodec` package's weights come from: a folder, or a download that is made once.

The end of a weights file's name is the beginning of its SHA-256; a file that doesn't match its name isn't opened.
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from gigmate.errors import CheckpointError, MachineError
from gigmate.files.ckpt_file import load_values
from gigmate.files.weights_file import open_regular

_OFFICIAL = {"encodec_24khz": "encodec_24khz-d7cc33bc.th", "encodec_48khz": "encodec_48khz-7e698e3e.th"}


def find_weights(name: str, weights_dir: Path | str | None, root_url: str) -> Path:
    """The weights file of codec `name`.

    Args:
        name: `encodec_24khz` or `encodec_48khz`.
        weights_dir: folder that has it; `None` looks in torch's cache and fetches what isn't there.
        root_url: where the package says its weights are; ends with a slash.

    Raises:
        CheckpointError: the folder has none, or more than one.
        MachineError: it isn't in the cache and can't be fetched.
    """
    if weights_dir is None:
        return _fetch(_OFFICIAL[name], root_url)
    found = sorted(Path(weights_dir).glob(f"{name}-*.th"))
    if len(found) != 1:
        what = f"{len(found)} files named {name}-*.th, one is needed"
        raise CheckpointError("missing", what, weights_dir, f"put {_OFFICIAL[name]} there")
    return found[0]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, read without running any code in the file.

    Raises:
        CheckpointError: not the content that its name promises, or no tensors.
    """
    with open_regular(path) as file:
        digest = hashlib.sha256(file.read()).hexdigest()
        if not digest.startswith(path.stem.rsplit("-", 1)[1]):
            raise CheckpointError(
                "corrupt", f"its SHA-256 is {digest[:8]}..., not as in its name", path, "fetch it again"
            )
        state = load_values(file, path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError("not_checkpoint", "not tensors by name", path, "fetch it again")
    return state


def _fetch(file_name: str, root_url: str) -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / file_name
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(root_url + file_name, str(path), path.stem.rsplit("-", 1)[1], progress=False)
    except (OSError, RuntimeError) as error:
        raise MachineError(
            "offline",
            f"{file_name} isn't on this machine and couldn't be fetched ({error})",
            folder,
            "go online once, or put the file into a folder and pass codec.weights_dir=FOLDER",
        ) from error
    return path
