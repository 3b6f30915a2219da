"""The job of `generate.py`: songs in, stems out, one folder a song."""

import json
import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gigmate.accompanist import SHIPPED, Accompanist
from gigmate.audio import Audio, list_audio, read_audio, resample, to_channels, write_wav
from gigmate.config.registry import build
from gigmate.continuation import continue_song
from gigmate.device import resolve
from gigmate.errors import GigmateError, InputError, UsageError, printable
from gigmate.files.atomic import atomic_results, write_bytes
from gigmate.generation.note_taste import STRENGTHS, NoteTaste
from gigmate.music.grid import BeatGrid
from gigmate.music.tracker import track_beats
from gigmate.performance import Performance, Take

log = logging.getLogger(__name__)

_RESULTS = ("stem.wav", "mix.wav", "stem.mid", "report.json")
_CONTINUE_S = 20.0


@dataclass(frozen=True)
class Job:
    """A song to play to, and the folder that gets the results."""

    song: Path
    out: Path


def run(cfg: DictConfig) -> None:
    """Play to a song or to every song of a folder.

    A bad song of a folder is set aside with a line in the log, and the others are played to; if none is left, or the
    one song given is bad, that is an error.

    Raises:
        GigmateError: see the codes in the README.
    """
    jobs = plan(Path(cfg.input), None if cfg.out is None else Path(cfg.out), Path(cfg.paths.runs_dir), force=cfg.force)
    device = resolve(cfg.device)
    ckpt = None if cfg.ckpt is None else Path(cfg.ckpt)
    player = Accompanist.load(ckpt, codec=cfg.codec, device=device)
    take = Take(
        instrument=cfg.instrument or ("drums" if cfg.task == "accompany" else "all"),
        lookahead_s=cfg.lookahead_s,
        seed=cfg.seed,
        guidance_scale=cfg.guidance_scale,
        sampler=build(cfg.sampler),
        num_candidates=cfg.num_candidates,
        taste=NoteTaste(**{name: cfg[name] for name in STRENGTHS}),
        louder_db=cfg.louder_db,
        fader=cfg.fader,
    )
    refused: list[GigmateError] = []
    for job in jobs:
        try:
            _play_one(player, take, job, cfg, str(ckpt or SHIPPED.name))
        except InputError as error:
            if len(jobs) == 1:
                raise
            log.warning("set aside %s: %s", printable(job.song.name), error)
            refused.append(error)
    if len(refused) == len(jobs):
        raise InputError("no_audio", f"none of {len(jobs)} files could be played to", cfg.input, "see the lines above")
    if refused:
        log.warning("%d of %d songs were set aside", len(refused), len(jobs))


def plan(source: Path, out: Path | None, runs_dir: Path, *, force: bool) -> list[Job]:
    """Which songs are played to, and where the results go.

    Raises:
        InputError: there is no such file, or no song in the folder.
        UsageError: results are there already.
    """
    if not source.exists():
        raise InputError("missing", "there is no such file or folder", source, "check the path")
    songs = list_audio(source) if source.is_dir() else [source]
    if out is None:
        out = fresh_folder(runs_dir / "generate" / (source.name if source.is_dir() else source.stem))
    if not source.is_dir():
        jobs = [Job(source, out)]
    else:
        stems = [song.stem for song in songs]
        jobs = [Job(song, out / (song.stem if stems.count(song.stem) == 1 else song.name)) for song in songs]
    taken = next((job.out / name for job in jobs for name in _RESULTS if (job.out / name).exists()), None)
    if taken is not None and not force:
        raise UsageError("out_exists", "results are there already", taken, "choose another out or pass force=true")
    return jobs


def fresh_folder(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3, ... that doesn't exist."""
    number, candidate = 1, folder
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _play_one(player: Accompanist, take: Take, job: Job, cfg: DictConfig, ckpt: str) -> None:
    song = read_audio(job.song, max_seconds=cfg.max_seconds)
    for note in song.notes:
        log.info("%s: %s", printable(job.song.name), note)
    grid = find_grid(cfg.beats, song)
    with _bar(job.song.name) as bar:
        task = bar.add_task(take.instrument)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if cfg.task == "accompany":
            played = player.accompany(
                song.wave, song.sample_rate, take, grid=grid, seconds=cfg.seconds, progress=progress
            )
        else:
            played = _continue(player, take, song, grid, cfg, progress)
    report = {"song": job.song.name, "task": cfg.task, "ckpt": ckpt, "beats": _describe(grid), **played.report}
    with atomic_results(job.out) as out:
        if cfg.task == "accompany" and played.notes is not None:
            save_notes(played, take.instrument, grid, player.codec.spec.frame_rate, out)
        save(played, report, out)
    log.info(
        "%s to %s: %.1f s, %.1f times as fast as real time -> %s",
        take.instrument,
        printable(job.song.name),
        played.report["seconds"],
        played.report["real_time_factor"],
        job.out,
    )


def _continue(
    player: Accompanist, take: Take, song: Audio, grid: BeatGrid | None, cfg: DictConfig, progress: Any
) -> Performance:
    stem = None
    seconds = cfg.seconds or _CONTINUE_S
    if cfg.stem is not None:
        own = read_audio(Path(cfg.stem), max_seconds=cfg.max_seconds)
        stem = to_channels(resample(own.wave, own.sample_rate, song.sample_rate), song.wave.shape[0])
        left_s = (song.wave.shape[1] - stem.shape[1]) / song.sample_rate
        seconds = cfg.seconds or (left_s if left_s >= 1.0 else _CONTINUE_S)
    return continue_song(
        player, song.wave, song.sample_rate, take, grid=grid, seconds=seconds, stem=stem, progress=progress
    )


def find_grid(beats: str, song: Audio) -> BeatGrid | None:
    """The beat grid that `beats` names: `track` the song, `none`, or the path of a file of beat times."""
    if beats == "none":
        return None
    if beats == "track":
        return track_beats(np.ascontiguousarray(song.wave), song.sample_rate)
    return BeatGrid.from_file(Path(beats))


def save(played: Performance, report: dict[str, Any], out: Path) -> None:
    """Write `stem.wav`, `mix.wav` and, last, `report.json`."""
    write_wav(out / "stem.wav", played.stem, played.sample_rate)
    write_wav(out / "mix.wav", played.mix, played.sample_rate)
    write_bytes(out / "report.json", json.dumps(report, indent=2).encode() + b"\n")


def save_notes(played: Performance, instrument: str, grid: BeatGrid | None, frame_rate: Fraction, out: Path) -> None:
    """Write `stem.mid`: what the model meant to play, as far as note codes say; without known beats at 120 bpm."""
    from gigmate.music.midi_write import write_midi
    from gigmate.music.note_reading import read_notes

    assert played.notes is not None
    known = grid or BeatGrid.from_tempo(120, 4, max(1.0, played.stem.shape[1] / played.sample_rate))
    write_midi({instrument: read_notes(played.notes, frame_rate)}, known, out / "stem.mid")


def _describe(grid: BeatGrid | None) -> dict[str, float] | None:
    if grid is None:
        return None
    middle_s = float(grid.beat_times_s[len(grid.beat_times_s) // 2])
    return {
        "bpm": round(float(grid.tempo_bpm(middle_s)), 2),
        "beats_per_bar": grid.beats_per_bar,
        "confidence": round(grid.confidence, 3),
    }


def _bar(title: str) -> Progress:
    """A progress bar in frames that leaves nothing behind where nobody looks."""
    columns = (
        TextColumn(printable(title, 40)),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, transient=True)
