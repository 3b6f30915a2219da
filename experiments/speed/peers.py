"""The peers, each as a function that makes one step: embed, all layers with its own cache, heads, draw among 250.

Random weights of one shape. Each runs its own code from its own package, given a past of `context` random steps.
`make bench-peers` puts audiocraft and moshi into `.venv/peers` without what they depend on: they pin older versions of
torch. Of what audiocraft imports for text and data, and never calls here, empty stand-ins are enough.
"""

import importlib.machinery
import os
import sys
import types
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NUM_CODEBOOKS, NUM_CODES, TOP_K = 4, 2048, 250
_FOLDER = Path(__file__).parents[2] / ".venv" / "peers"
_NEVER_CALLED = (
    "xformers", "num2words", "spacy", "flashy", "av", "julius", "torchmetrics", "demucs", "librosa", "laion_clap",
)  # fmt: skip

Step = Callable[[], object]


@dataclass(frozen=True)
class Shape:
    """One case: how large the model, how many rows, how long the past.

    Args:
        name: of the size.
        dim: width.
        num_layers: L.
        num_heads: H.
        batch: rows that are sampled.
        context: steps of the past.
        is_guided: whether each row is computed twice and blended.
    """

    name: str
    dim: int
    num_layers: int
    num_heads: int
    batch: int = 1
    context: int = 0
    is_guided: bool = False

    @property
    def rows(self) -> int:
        """Rows that are computed."""
        return self.batch * (2 if self.is_guided else 1)


def hf_loop(shape: Shape) -> Step:
    """MusicgenForCausalLM of transformers, fed one step at a time as its `generate` does."""
    from transformers import DynamicCache, MusicgenForCausalLM
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    model = MusicgenForCausalLM(_hf_config(MusicgenDecoderConfig, shape)).eval()
    cache = DynamicCache(config=model.config)
    if shape.context:
        model(input_ids=_random(shape.rows * NUM_CODEBOOKS, shape.context), past_key_values=cache, use_cache=True)
    last = _random(shape.rows * NUM_CODEBOOKS, 1)

    def step() -> Tensor:
        logits = model(input_ids=last, past_key_values=cache, use_cache=True).logits
        codes = _draw(_blend(logits[:, -1].unflatten(0, (shape.rows, NUM_CODEBOOKS)), shape))
        last.copy_(codes.repeat(shape.rows // shape.batch, 1).view(-1, 1))
        return codes

    return step


def hf_generate(shape: Shape, num_steps: int) -> Step:
    """The `generate` of the same class: so many steps from the beginning."""
    from transformers import MusicgenForCausalLM
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    model = MusicgenForCausalLM(_hf_config(MusicgenDecoderConfig, shape)).eval()
    model.generation_config.pad_token_id = model.generation_config.decoder_start_token_id = 0
    start = torch.zeros(NUM_CODEBOOKS, 1, dtype=torch.int64)
    given = {"do_sample": True, "top_k": TOP_K, "guidance_scale": 1, "num_return_sequences": 1}
    given["suppress_tokens"] = [0]  # it takes padding that was drawn for the end
    return lambda: model.generate(start, max_new_tokens=num_steps, **given)


def audiocraft(shape: Shape) -> Step:
    """LMModel of audiocraft in streaming mode, with the attention of torch."""
    _use("audiocraft", ("models", "data"))
    from audiocraft.models.lm import LMModel
    from audiocraft.modules import transformer
    from audiocraft.modules.codebooks_patterns import DelayedPatternProvider
    from audiocraft.modules.conditioners import ConditionFuser, ConditioningProvider

    transformer.set_efficient_attention_backend("torch")
    transformer._is_profiled = lambda: False  # asks xformers
    transformer.ops = types.SimpleNamespace(unbind=torch.unbind)  # the one function of xformers that it calls
    kinds: dict[str, list[str]] = {"sum": [], "prepend": [], "cross": [], "input_interpolate": []}
    model = LMModel(
        DelayedPatternProvider(NUM_CODEBOOKS), ConditioningProvider({}), ConditionFuser(kinds),
        n_q=NUM_CODEBOOKS, card=NUM_CODES, dim=shape.dim, num_heads=shape.num_heads, num_layers=shape.num_layers,
        hidden_scale=4, norm_first=True, bias_proj=False, causal=True, memory_efficient=True, dropout=0.0,
        bias_ff=False, bias_attn=False, activation="gelu",
    ).eval()  # fmt: skip
    streams = ExitStack()  # never left: the step keeps its state
    streams.enter_context(model.streaming())
    if shape.context:
        model(_random(shape.rows, NUM_CODEBOOKS, shape.context), [], {})
    last = _random(shape.rows, NUM_CODEBOOKS, 1)

    def step() -> Tensor:
        codes = _draw(_blend(model(last, [], {})[:, :, -1], shape))
        last.copy_(codes.repeat(shape.rows // shape.batch, 1)[:, :, None])
        return codes

    step.keep = streams  # type: ignore[attr-defined]
    return step


def moshi(shape: Shape) -> Step:
    """LMModel of moshi without its depth transformer: one product for all heads, which flatters it."""
    os.environ["NO_TORCH_COMPILE"] = "1"  # it would compile small parts; nobody here needs a compiler at run time
    _use("moshi", ("models",))
    from moshi.models.lm import LMModel

    model = LMModel(
        delays=[0] * (NUM_CODEBOOKS + 1), n_q=NUM_CODEBOOKS, dep_q=0, card=NUM_CODES, text_card=NUM_CODES,
        text_card_out=NUM_CODEBOOKS * NUM_CODES, dim=shape.dim, num_heads=shape.num_heads,
        num_layers=shape.num_layers, hidden_scale=4, norm="rms_norm_f32", gating="silu", causal=True,
        context=shape.context + 512, positional_embedding="rope", device="cpu", dtype=torch.float32,
    ).eval()  # fmt: skip
    model.streaming_forever(shape.rows)
    for _ in range(shape.context):
        model.forward_text(_random(shape.rows, NUM_CODEBOOKS + 1, 1))
    last = _random(shape.rows, NUM_CODEBOOKS + 1, 1)

    def step() -> Tensor:
        _, logits = model.forward_text(last)
        codes = _draw(_blend(logits[:, 0, 0].unflatten(-1, (NUM_CODEBOOKS, NUM_CODES)), shape))
        last[:, 1:, 0] = codes.repeat(shape.rows // shape.batch, 1)
        return codes

    return step


def _hf_config(make: type, shape: Shape) -> Any:
    return make(
        vocab_size=NUM_CODES, num_codebooks=NUM_CODEBOOKS, hidden_size=shape.dim, ffn_dim=4 * shape.dim,
        num_hidden_layers=shape.num_layers, num_attention_heads=shape.num_heads, max_position_embeddings=4096,
        activation_function="gelu", layerdrop=0.0, dropout=0.0, attn_implementation="sdpa",
    )  # fmt: skip


def _random(*size: int) -> Tensor:
    return torch.randint(0, NUM_CODES, size)


def _blend(logits: Tensor, shape: Shape) -> Tensor:
    """[rows, K, V] -> [B, K, V]."""
    if not shape.is_guided:
        return logits
    heard, unheard = logits.chunk(2)
    return unheard + 3.0 * (heard - unheard)


def _draw(logits: Tensor) -> Tensor:
    """[B, K, V] -> [B, K], as audiocraft's `sample_top_k` does."""
    values, codes = logits.topk(TOP_K, dim=-1)
    place = torch.multinomial(values.softmax(dim=-1).flatten(0, 1), 1).view(*logits.shape[:2], 1)
    return codes.gather(-1, place)[..., 0]


def _use(package: str, inner: Sequence[str]) -> None:
    """Make a peer's model importable without running its packages' own imports.

    Raises:
        ImportError: it isn't installed.
    """
    if not (_FOLDER / package).is_dir():
        raise ImportError(f"{package} isn't in {_FOLDER}: make bench-peers")
    if package in sys.modules:
        return
    sys.path.append(str(_FOLDER))
    sys.meta_path.append(_StandIns())
    for name in (package, *(f"{package}.{part}" for part in inner)):
        module = types.ModuleType(name)
        module.__path__ = [str(_FOLDER.joinpath(*name.split(".")))]
        sys.modules[name] = module


class _StandIn(types.ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _StandIns(MetaPathFinder, Loader):
    """Finds what nobody else has found, if it is never called."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        known = name.split(".", maxsplit=1)[0] in _NEVER_CALLED
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is in it."""
