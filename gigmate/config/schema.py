"""Every setting of every command with its type, its range and what it is for; a setting without a rule is refused.

The tables follow `conf/`: one per group, then the commands with their own keys. `gigmate.config.settings` judges
configs by them, `--help` prints them.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from gigmate.config.rules import Absent, Bool, Choice, Either, Float, Int, Many, Rule, Target, Text
from gigmate.music.instruments import INSTRUMENTS

Rules = Mapping[str, Rule]

SEED_MAX = 2**32 - 1
_SEED = Int(0, SEED_MAX, help="equal seeds give equal results")
_FORCE = Bool(help="replace what the output folder holds")
_LIMIT = Int(1, 10**6, optional=True, help="take at most so many songs")
_FOLDER = Text("a folder")
_STEPS = Int(1, 10**8)
_NUM_STEPS = Int(0, 10**8)
_SHARE = Float(0, 1)
_WEIGHT_DECAY = Float(0, 10)
_LR = Float(1e-9, 10, help="peak learning rate")
_BETAS = Many(Float(0, 0.999999), 2, 2)
_TEMPERATURE = Float(0, 10, help="0: always the likeliest")
_CODEC_NAMES = ("compact", "encodec_24khz", "encodec_48khz", "encodec_32khz", "dac_44khz", "mimi")
_PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true")
_DEVICES = ("auto", "cpu", "cuda", "mps")


def _group(group: str, /, **rules: Rule) -> Rules:
    """Rules by key path; in the names here two underscores stand for a dot and `target` for `_target_`."""
    paths = {name: name.replace("__", ".").split(".") for name in rules}
    return {
        ".".join([group, *("_target_" if part == "target" else part for part in paths[name])]): rule
        for name, rule in rules.items()
    }


_PATHS = _group("paths", runs_dir=_FOLDER, data_dir=_FOLDER, run_dir=Text("a new folder", help="where this run writes"))
_MODEL = _group(
    "model",
    dim=Int(8, 16_384),
    num_layers=Int(1, 256),
    num_heads=Int(1, 256),
    window=Int(1, 65_536, help="frames of the past that are seen"),
    dropout=Float(0, 0.9),
    writes_notes=Bool(),
)
_PATTERN = _group(
    "pattern",
    name=Choice(("delay", "parallel", "partial_delay", "flatten", "coarse_first")),
    delays=Many(Int(0, 1000), 1, 64, optional=True),
)
_SAMPLER = _group(
    "sampler",
    target=Target("sampler"),
    k=Int(1, 65_536, help="draw among the k likeliest"),
    p=Float(0.001, 1, help="draw among the likeliest that hold p"),
    temperature=_TEMPERATURE,
)
_CODEC = _group(
    "codec",
    name=Choice(_CODEC_NAMES),
    weights=Text("a file, or random", optional=True),
    weights_dir=Text("a folder", optional=True),
    bandwidth_kbps=Float(1.5, 24),
    num_codebooks=Int(1, 32, optional=True),
)
_DATA = _group(
    "data",
    folder=Text("a folder", help="the prepared data set"),
    source__target=Target("source"),
    source__num_songs=Int(1, 10**6),
    source__first_seed=_SEED,
    source__seconds=Float(1, 3600, optional=True),
    source__folder=Text("a folder", example="data.source.folder=my/music"),
    source__soundfont=Text("a file", example="data.source.soundfont=band.sf2"),
    source__bends=Choice(("count", "fluidsynth")),
    source__max_songs=_LIMIT,
    source__min_families=Int(1, 16),
)
_LOADER = _group(
    "loader",
    target=Target("loader"),
    folders=Many(_FOLDER, 1, 64),
    window_s=Float(0.1, 120),
    batch_size=Int(1, 65_536),
    num_workers=Int(0, 64),
    windows_per_epoch=Int(1, 10**8),
    valid_windows=Int(1, 10**6),
    min_lookahead_s=Float(-10, 10),
    max_lookahead_s=Float(-10, 10),
    max_gain_db=Float(0, 40),
)
_OPTIMIZER = _group(
    "optimizer",
    target=Target("optimizer"),
    lr=_LR,
    betas=_BETAS,
    momentum=Float(0, 0.999999),
    weight_decay=_WEIGHT_DECAY,
)
_SCHEDULER = _group("scheduler", target=Target("scheduler"), warmup_steps=_NUM_STEPS, floor=_SHARE)
_MODULE = _group(
    "module",
    target=Target("module"),
    condition_dropout=_SHARE,
    beat_dropout=_SHARE,
    past_dropout=_SHARE,
    past_errors=_SHARE,
    notes_dropout=_SHARE,
    sound_dropout=_SHARE,
    harmony_weight=Float(0, 100),
    codebook_weights=Many(Float(0, 100), 1, 64, optional=True),
    sample_every_steps=_NUM_STEPS,
    sample_s=Float(0.1, 120),
    model__dim=Int(8, 4096),
    model__expansion=Int(1, 16),
    model__latent_dim=Int(1, 1024),
    model__num_codebooks=Int(1, 32),
    model__num_partials=Int(0, 128),
    model__codebook_size=Int(2, 65_536),
    lr=_LR,
    warmup_steps=_NUM_STEPS,
    max_steps=_STEPS,
    partial_share=_SHARE,
    skip_frames=Int(0, 1000),
    noted_share=_SHARE,
    decoder_only=Bool(),
)
_TRAINER = _group(
    "trainer",
    accelerator=Choice(_DEVICES),
    devices=Either((Int(1, 1024), Choice(("auto",)))),
    num_nodes=Int(1, 4096),
    strategy=Choice(("auto", "ddp")),
    precision=Choice(_PRECISIONS),
    max_steps=_STEPS,
    val_check_interval=_STEPS,
    limit_val_batches=Int(1, 10**6),
    num_sanity_val_steps=Int(0, 10**6),
    gradient_clip_val=Float(0, 1e6, optional=True),
    accumulate_grad_batches=Int(1, 10**6),
    log_every_n_steps=_STEPS,
    enable_progress_bar=Bool(),
    deterministic=Bool(),
    detect_anomaly=Bool(),
    overfit_batches=Int(0, 10**6),
)
_DEVICE = _group(
    "device",
    name=Choice(_DEVICES),
    codec=Choice(_DEVICES, optional=True),
    dtype=Choice(("float32", "bfloat16", "float16")),
    threads=Int(1, 1024, optional=True),
    weights=Choice(("int8", "float32"), help="how a CPU holds them for playing: int8 is faster"),
    graph=Bool(help="steps as CUDA graphs"),
)
_CALLBACKS = _group(
    "callbacks",
    checkpoint__target=Target("callback"),
    checkpoint__every_steps=_STEPS,
    checkpoint__keep=Int(1, 1000),
    signals__target=Target("callback"),
    finite__target=Target("callback"),
    finite__max_skipped=Int(0, 10**6),
    average__target=Target("callback"),
    average__decay=Float(0.0, 0.999999),
    progress__target=Target("callback"),
    early_stopping__target=Target("callback"),
    early_stopping__monitor=Text("a metric"),
    early_stopping__patience=Int(0, 10**6),
    early_stopping__mode=Choice(("min", "max")),
)
_LOGGER = {
    key: rule
    for name in ("csv", "tensorboard", "wandb")
    for key, rule in _group(
        f"logger.{name}",
        target=Target("logger"),
        save_dir=_FOLDER,
        name=Text("a name", optional=name == "wandb"),
        **({"project": Text("a name"), "offline": Bool()} if name == "wandb" else {}),
    ).items()
}

_CKPT = Text("a file", optional=True, help="weights; null: those that ship")
_CODEC_OR_NULL = {**_CODEC, "codec": Absent(optional=True, help="null: the one of the checkpoint")}
_AUDIO = Text("an audio file or a folder of them", help="the song, or a folder of songs", example="input=song.wav")

_TRAIN: Rules = {
    "seed": _SEED,
    "resume": Text("auto or a checkpoint", optional=True, help="go on with a run: auto, or a checkpoint"),
    "init_from": Text("a file", optional=True, help="start from these weights"),
    "optimized_metric": Text("a metric", help="what a sweep makes small"),
    "prepare": Absent(optional=True, help="prepare this data first (experiment=smoke)"),
}
_PREPARE: Rules = {
    "out": Text("a folder", help="where the data set goes"),
    "kind": Choice(("tokens", "audio"), help="for the language model, or for the codec"),
    "valid_fraction": Float(0, 0.9, help="share of the song groups that is kept for validation"),
    "limit": _LIMIT,
    "workers": Int(1, 64, help="processes"),
    "strict": Bool(help="exit 3 at the first bad song"),
    "max_bad_fraction": Float(0, 1, help="exit 3 if more of the songs are bad"),
    "force": _FORCE,
    "seed": _SEED,
}
_TASTE: Rules = {
    "chord_strength": Float(0, 20, help="how much notes are favoured that fit the chord"),
    "beat_strength": Float(0, 20, help="how much notes are favoured that begin on a part of the beat"),
    "eagerness": Float(0, 20, help="how much sooner drums that have rested for a beat come in again"),
    "steadiness": Float(0, 20, help="how strongly drums are held to the usual level, and who rests to silence"),
    "pace": Float(0, 20, help="how strongly players are held to a number of notes and rests"),
    "manner": Float(0, 2, help="how far that number, and the level, are what the song calls for, not what is usual"),
}
_FADER = Bool(help="whether players that are too soft or too loud are turned up or down")
_GENERATE: Rules = {
    "input": _AUDIO,
    "out": Text("a folder", optional=True, help="where the results go; null: runs/generate/<name>"),
    "task": Choice(("accompany", "continue"), help="play along, or go on where the song ends"),
    "instrument": Choice(
        INSTRUMENTS,
        optional=True,
        help="what to play; null: drums, or the whole song when it is continued",
        example="instrument=bass",
    ),
    "stem": Text("an audio file", optional=True, help="with task=continue: the stem to go on with"),
    "ckpt": _CKPT,
    "beats": Text(
        "track, none or a file", help="find the beats, do without, or a file: one time in s a line, d: downbeat"
    ),
    "seconds": Float(0.1, 3600, optional=True, help="length of the result; null: of the song"),
    "lookahead_s": Float(-10, 10, optional=True, help="how far ahead it hears; null: the largest that was trained"),
    "guidance_scale": Float(0, 20, help="how strictly it follows the song; 1: as trained"),
    "num_candidates": Int(1, 64, help="ways to go on that are tried, the one that fits the chords best is kept"),
    **_TASTE,
    "louder_db": Float(-24, 24, help="how much louder than usual is played, in dB"),
    "fader": _FADER,
    "seed": _SEED,
    "max_seconds": Float(0.1, 36_000, help="refuse longer songs"),
    "force": _FORCE,
}
_EVALUATE: Rules = {
    "what": Choice(("codec", "training", "continuation", "listening", "adherence"), help="which report"),
    "input": Text("an audio file or a folder of them", optional=True, help="recordings to take besides the data set"),
    "folders": Many(_FOLDER, 1, 64),
    "instruments": Many(Choice(INSTRUMENTS), 1, len(INSTRUMENTS)),
    "lookahead_s": Many(Float(-10, 10), 1, 16),
    "seconds": Float(4, 3600, help="length of the excerpts"),
    "beats": Choice(("track", "known", "none"), help="what the model is told of the beats"),
    "guidance_scale": Float(0, 20, help="how strictly it follows the song; 1: as trained"),
    "num_candidates": Int(1, 64, help="ways to go on that are tried, the one that fits the chords best is kept"),
    **_TASTE,
    "warms_up": Bool(help="whether players warm up before the song begins"),
    "fader": _FADER,
    "encoder": Text("a file", optional=True, help="the judge of fit; null: the one that ships"),
    "ckpt": _CKPT,
    "out": Text("a folder", optional=True, help="where the report goes; null: runs/evaluate/<what>"),
    "limit": _LIMIT,
    "seed": _SEED,
    "force": _FORCE,
}

_NAMES = Many(Text("a name", max_length=255), 0, 64)
_SERVE: Rules = {
    "host": Text("an address", max_length=255, help="where to listen; beyond this machine a token is needed"),
    "port": Int(0, 65_535, help="TCP port; 0: any that is free"),
    "capacity": Int(1, 1024, optional=True, help="live sessions at once; null: as many as it holds, measured, up to 8"),
    "token": Text("a token", optional=True, max_length=256, help="what clients must show; null: nothing"),
    "hosts": replace(_NAMES, help="further names (name:port) under which browsers reach it"),
    "origins": replace(_NAMES, help="further origins (https://name) whose pages may use it"),
    "ckpt": _CKPT,
    "drain_s": Float(0, 600, help="how long sessions may play on after SIGTERM"),
    "max_upload_mb": Int(1, 1024, help="largest body of a request, MiB"),
    "max_seconds": Float(1, 3600, help="longest song that is played to"),
    "predict_queue": Int(1, 1024, help="predictions that may wait or run; further ones are refused"),
    "connects_per_s": Float(0.1, 10_000, help="live connections per address"),
}

_PREPARE_ALL: Rules = {**_PREPARE, **_PATHS, **_DATA, **_CODEC, **_DEVICE}
_TRAIN_ALL: Rules = {
    **_TRAIN,
    **{f"prepare.{key}": rule for key, rule in _PREPARE_ALL.items()},
    **_PATHS,
    **_MODULE,
    **_CODEC,
    **_DATA,
    **_LOADER,
    **_MODEL,
    **_PATTERN,
    **_SAMPLER,
    **_OPTIMIZER,
    **_SCHEDULER,
    **_TRAINER,
    **_CALLBACKS,
    **_LOGGER,
}

ROOTS: Mapping[str, Rules] = MappingProxyType(
    {
        "train": _TRAIN_ALL,
        "prepare": _PREPARE_ALL,
        "generate": {**_GENERATE, **_PATHS, **_SAMPLER, **_DEVICE, **_CODEC_OR_NULL},
        "serve": {**_SERVE, **_PATHS, **_DEVICE, **_CODEC_OR_NULL},
        "evaluate": {**_EVALUATE, **_PATHS, **_DATA, **_DEVICE, **_CODEC_OR_NULL},
    }
)
