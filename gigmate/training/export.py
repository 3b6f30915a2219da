"""What a training leaves behind beside its checkpoints: who made the weights and how, a table over time, a bundle.

<run>/validation.csv       one row per validation
      model.safetensors    the weights to use: the averaged ones, if there are any
      metrics.json         figures at the end
      card.md              the same for people
"""

import csv
import datetime
import io
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
from typing_extensions import override

from gigmate import __version__
from gigmate.checkpoint import ABOUT_KEY, NETWORK, about_text, lm_bundle
from gigmate.codec.code_levels import CODE_DB, code_levels
from gigmate.codec.compact import CompactCodec, CompactConfig
from gigmate.errors import CheckpointError
from gigmate.files.atomic import write_bytes
from gigmate.files.bundle import Bundle, check_fit
from gigmate.training.averaging import WeightAverage
from gigmate.training.codec_module import CodecModule
from gigmate.training.lm_module import LMModule

log = logging.getLogger(__name__)


def bundle_of(module: L.LightningModule) -> Bundle:
    """The network of a training module with what it depends on, without provenance or metrics.

    Raises:
        TypeError: neither a language model nor a codec is trained.
    """
    if isinstance(module, LMModule):
        return lm_bundle(module.net, module.codec, {}, {})
    if isinstance(module, CodecModule):
        config = json.loads(json.dumps(asdict(module.net.config)))
        return Bundle("codec", config, module.net.state_dict())
    raise TypeError(f"don't know how to publish a {type(module).__name__}")


def with_tables(bundle: Bundle) -> Bundle:
    """The bundle with the tables of its weights: a codec's levels of codes."""
    if bundle.kind != "codec":
        return bundle
    codec = CompactCodec(CompactConfig(**bundle.config))
    bundle.load_into(codec)
    return replace(bundle, tables={CODE_DB: code_levels(codec.eval())})


class Exporter(L.Callback):
    """Marks checkpoints with what they are, judges those to be resumed, and exports at the end.

    Args:
        run_dir: folder of the run.
        provenance: what is known of how the weights come about, primitives.
    """

    def __init__(self, run_dir: Path, provenance: dict[str, Any]) -> None:
        self.run_dir, self.provenance, self.last_step = run_dir, provenance, -1

    def bundle(self, trainer: L.Trainer, module: L.LightningModule) -> Bundle:
        """The weights to use, with all that is known about them."""
        average = next((c.average for c in trainer.callbacks if isinstance(c, WeightAverage)), {})  # pyright: ignore[reportAttributeAccessIssue]
        averaged = {name.removeprefix(NETWORK): t for name, t in average.items() if name.startswith(NETWORK)}
        bundle = bundle_of(module)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        provenance = {**self.provenance, "steps": trainer.global_step, "code": __version__, "date": now}
        return replace(bundle, state={**bundle.state, **averaged}, provenance=provenance, metrics=figures(trainer))

    @override
    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Say in the checkpoint what it is."""
        checkpoint[ABOUT_KEY] = about_text(self.bundle(trainer, pl_module))

    def judge(self, module: L.LightningModule, content: dict[str, Any]) -> None:
        """Compare the training that is to be resumed with the one here.

        Raises:
            CheckpointError: `other_model`, `other_codec` or `other_optimizer` with the fields that differ, `keys`, or
                `weights_only`.
        """
        if "optimizer_states" not in content:
            raise CheckpointError(
                "weights_only", "it has no optimizer state", "resume", "init_from= starts from weights"
            )
        theirs, own = json.loads(content.get(ABOUT_KEY, "{}")), bundle_of(module)
        _compare("other_model", theirs.get("config", {}), own.config)
        _compare("other_codec", theirs.get("codec", {}), own.codec)
        optimizers = [about.get("optimizer", {}) for about in (theirs.get("provenance", {}), self.provenance)]
        _compare("other_optimizer", *({"_target_": optimizer.get("_target_")} for optimizer in optimizers))
        check_fit(module.state_dict(), content["state_dict"], "resume")

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add a row to the table; a resumed run replaces the rows that it makes again."""
        self.last_step = trainer.global_step
        if not trainer.is_global_zero:
            return
        path, step = self.run_dir / "validation.csv", trainer.global_step
        rows = read_rows(path)
        rows = [row for row in rows if int(row["step"]) < step]
        rows.append({"step": step, **{k: v for k, v in figures(trainer).items() if k.startswith("valid/")}})
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[-1]), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(path, text.getvalue().encode())

    def export(self, trainer: L.Trainer, module: L.LightningModule, extra: dict[str, float]) -> Path:
        """Write bundle, metrics and card; returns the path of the bundle."""
        bundle = with_tables(self.bundle(trainer, module))
        bundle.metrics.update(extra)
        path = self.run_dir / "model.safetensors"
        bundle.save(path)
        write_bytes(self.run_dir / "metrics.json", json.dumps(bundle.metrics, indent=2, sort_keys=True).encode())
        write_bytes(self.run_dir / "card.md", card(bundle).encode())
        log.info("exported %s", path)
        return path


def _compare(code: str, theirs: dict[str, Any], own: dict[str, Any]) -> None:
    own = json.loads(json.dumps(own))  # tuples as lists, as they come back from a file
    unlike = [f"{k} {theirs.get(k)} -> {own.get(k)}" for k in {**theirs, **own} if theirs.get(k) != own.get(k)]
    if unlike:
        what = f"the checkpoint was made with other settings: {', '.join(unlike[:10])}"
        raise CheckpointError(code, what, "resume", "use its settings; init_from= takes the weights alone")


def figures(trainer: L.Trainer) -> dict[str, float]:
    """What was measured last, by name; figures that aren't finite are left out."""
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {name: round(value, 6) for name, value in values.items() if value - value == 0}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table; none if there isn't any."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]


def card(bundle: Bundle) -> str:
    """A model card in Markdown: what it is, where it comes from, its figures."""
    size = sum(tensor.numel() for tensor in bundle.state.values())
    lines = [f"# {'Language model' if bundle.kind == 'lm' else 'Codec'}, {size / 1e6:.1f} M parameters", ""]
    for title, values in (("Settings", bundle.config), ("Codec", bundle.codec), ("Provenance", bundle.provenance)):
        if values:
            lines += [f"## {title}", "", *(f"* {key}: {value}" for key, value in values.items()), ""]
    lines += ["## Figures", "", "| figure | value |", "|---|---|"]
    lines += [f"| {name} | {value:.4f} |" for name, value in sorted(bundle.metrics.items())]
    return "\n".join(lines) + "\n"
