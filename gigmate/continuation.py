"""Going on where a song ends: the same model, the song as its own past, joined without a seam."""

from gigmate.accompanist import Accompanist, Progress, instrument_ids
from gigmate.audio import to_channels
from gigmate.codec.chunks import encode_song
from gigmate.errors import InputError
from gigmate.joint import join
from gigmate.music.grid import BeatGrid
from gigmate.performance import Audio, Performance, Take, fit, hearing_gain
from gigmate.stopwatch import Stopwatch

_WARM_UP_FRAMES = 100  # of the past are decoded before what is new, so that the codec is in the middle of the song


def continue_song(
    player: Accompanist,
    song: Audio,
    sample_rate: int,
    take: Take,
    *,
    grid: BeatGrid | None,
    seconds: float,
    stem: Audio | None = None,
    progress: Progress | None = None,
) -> Performance:
    """Go on where the song ends; or, with a stem, where the stem ends, to the song (which may have ended too).

    Args:
        player: who plays.
        song: [C, N] float32.
        sample_rate: Hz of song and stem.
        take: how; its instrument is what the past is: `all` for a whole song.
        grid: the song's beats, extrapolated past its end; None if unknown.
        seconds: how much is played.
        stem: [C, N'] float32, the stem's past; None: the song is its own past and nothing else is heard.
        progress: called with frames done and frames to do.

    Returns:
        Its `stem` is what was played, `seconds` long; its `mix` the past with that joined on, and the song if it is
        another one.

    Raises:
        InputError: a past shorter than a frame.
        UsageError: as `Accompanist.accompany`.
    """
    clock, spec = Stopwatch(), player.codec.spec
    past, gain = song if stem is None else stem, hearing_gain(song)
    length = past.shape[1] + round(seconds * sample_rate)
    with clock.part("codec"):
        heard = player.at_codec_rate(past * gain, sample_rate)
        whole = heard.shape[2] // spec.hop
        if whole == 0:
            raise InputError("too_short", f"{past.shape[1]} samples, but a frame needs {spec.hop}", "the past")
        prompt = encode_song(player.codec, heard[..., : whole * spec.hop])
    with clock.part("features"):
        power = None if stem is None else player.hear(player.at_codec_rate(song * gain, sample_rate))
    frames = spec.num_frames(round(length / sample_rate * spec.sample_rate))
    streams = player.play(frames, take, clock, power=power, grid=grid, prompt=prompt, progress=progress)
    with clock.part("codec"):
        first = max(0, whole - _WARM_UP_FRAMES)
        sound = player.sound(streams[..., first:], instrument_ids([take.instrument]))
        decoded = player.at_song_rate(sound[0], sample_rate, len(past)) / gain
        joined = fit(join(past, decoded, round(first / spec.frame_rate * sample_rate), sample_rate), length)
    mix = joined if stem is None else joined + fit(to_channels(song, len(past)), length)
    return player.finish(joined[:, past.shape[1] :], mix, streams, sample_rate, take, clock)
