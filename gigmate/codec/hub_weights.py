"""Pretrained models from `transformers`: from a folder, the hub's cache, or fetched once; never with code of theirs."""

from pathlib import Path
from typing import Any

from gigmate.errors import CheckpointError, MachineError, printable

_MODELS = {
    "encodec_32khz": ("EncodecModel", "facebook/encodec_32khz"),
    "dac_44khz": ("DacModel", "descript/dac_44khz"),
    "mimi": ("MimiModel", "kyutai/mimi"),
}


def pretrained(name: str, weights_dir: Path | str | None) -> Any:
    """The `transformers` model of codec `name`, on the CPU.

    Args:
        name: `encodec_32khz`, `dac_44khz` or `mimi`.
        weights_dir: folder with `config.json` and `model.safetensors`; `None` takes the hub's cache, or fetches.

    Raises:
        CheckpointError: nothing usable in `weights_dir`.
        MachineError: `transformers` isn't installed, or the machine is offline.
    """
    try:
        import transformers
    except ImportError as error:
        what = f"codec {name} needs the package transformers"
        raise MachineError("missing_extra", what, "codec", 'pip install "gigmate[codecs]"') from error
    class_name, repository = _MODELS[name]
    source = repository if weights_dir is None else str(Path(weights_dir))
    if weights_dir is not None and not (Path(source) / "config.json").is_file():
        remedy = "put config.json and model.safetensors there"
        raise CheckpointError("missing", f"no weights of {name} in this folder", source, remedy)
    try:
        return getattr(transformers, class_name).from_pretrained(
            source, use_safetensors=True, local_files_only=weights_dir is not None
        )
    except Exception as error:  # the hub's client has dozens of ways to fail, its own and its HTTP library's
        if weights_dir is not None:
            what = f"can't be read as {name}: {printable(error, 200)}"
            raise CheckpointError("not_checkpoint", what, source, "fetch it again") from error
        raise MachineError(
            "offline",
            f"the weights of {name} aren't on this machine and couldn't be fetched",
            source,
            "go online once, or put config.json and model.safetensors into a folder and pass codec.weights_dir=FOLDER",
        ) from error
