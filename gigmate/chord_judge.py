"""How well candidates for a stem fit the chords that are heard in the song."""

from collections.abc import Callable

import torch
from torch import Tensor

from gigmate.codec.features import NUM_SEMITONE_BANDS, MixFeatures
from gigmate.generation.chord_bias import worth_of
from gigmate.generation.chord_ear import LEAD_FRAMES, ChordEar
from gigmate.generation.chord_listener import listener_of, nothing_known
from gigmate.model.conditions import FrameConditions, step_conditions, with_slow_power
from gigmate.model.lm import AccompanimentLM, levels_of
from gigmate.pitch import NUM_PITCH_CLASSES
from gigmate.shapes import Codes, Features, Wave

CHORD_DELAY_FRAMES = 16
"""A chord is read best so long after its frame: half the window of the semitone bands, 0.3 s."""

_CONTEXT_FRAMES = 25  # decoded before what is new, for the codec's and the bands' pasts
_STRIDE = 3
_SILENT_POWER = 1e-7
_LOWEST_BAND = 9  # the pitch class of the lowest semitone band, A


class ChordJudge:
    """Scores what a model writes by the share of its energy on tones of the chord; a bass's by that on its root.

    Who is silent for a moment scores as those do on the mean who compete with him and sound: to play or not isn't what
    is judged.

    Args:
        sound: turns what the model writes [N, K, T] into sound [N, C, T * hop].
        features: its semitone bands.
        wanted: [N, T, 12] what each pitch class is worth in each frame of each candidate.
        num_candidates: that compete for one row; they follow each other.
    """

    def __init__(
        self, sound: Callable[[Codes], Wave], features: MixFeatures, wanted: Tensor, num_candidates: int
    ) -> None:
        self._sound, self._features, self._wanted = sound, features, wanted
        self._num_candidates = num_candidates

    def __call__(self, codes: Codes, start: int) -> Tensor:
        """See `gigmate.generation.audition.Judge`."""
        context = max(0, start - _CONTEXT_FRAMES)
        wave = self._sound(codes[:, :, context:]).mean(dim=1, keepdim=True).float()
        power = self._features.analyse(wave.cpu())[:, :, start - context :: _STRIDE]
        energy = pitch_class_power(power)
        wanted = self._wanted[:, start : codes.shape[2] : _STRIDE]
        total = energy.sum(dim=2)
        share = (energy * wanted).sum(dim=2) / total.clamp(min=_SILENT_POWER)
        sounds = total >= _SILENT_POWER
        usual = _group_mean(share, sounds, self._num_candidates)
        return torch.where(sounds, share, usual).mean(dim=1)


def _group_mean(share: Tensor, sounds: Tensor, size: int) -> Tensor:
    """[N, 1]: for each row the mean [N, T] over what sounds in its group of `size` rows; 0 if nothing does."""
    groups, counts = (part.unflatten(0, (-1, size)).sum(dim=(1, 2)) for part in (share * sounds, sounds))
    return (groups / counts.clamp(min=1)).repeat_interleave(size)[:, None]


def pitch_class_power(power: Features) -> Tensor:
    """Power features [B, D, T] -> [B, T, 12], C first."""
    octaves = power[:, -NUM_SEMITONE_BANDS:].unflatten(1, (-1, NUM_PITCH_CLASSES))
    return octaves.sum(dim=1).roll(_LOWEST_BAND, dims=1).transpose(1, 2)


@torch.no_grad()
def wanted_classes(
    model: AccompanimentLM,
    conditions: FrameConditions,
    num_frames: int,
    *,
    is_bass: Tensor,
    ear: ChordEar | None = None,
) -> Tensor:
    """What each pitch class is worth in each frame, [B, T, 12].

    It is read where the chord is heard best, but never later than the lookahead allows.

    Args:
        model: whose ear for chords is used.
        conditions: the mix and the lookahead.
        num_frames: T.
        is_bass: [B] bool.
        ear: hears the chords; None: the model's own is asked.
    """
    if ear is not None:
        pattern, device = model.config.build_pattern(), conditions.instrument.device
        listener = listener_of(ear, pattern.max_delay, device)
        nothing = nothing_known(conditions.batch, device)
        _, chords = listener.hear(nothing, step_conditions(conditions, pattern, num_frames))
        worth = worth_of(chords.root, chords.tones, is_bass=is_bass).float() * chords.is_heard[..., None]
        return worth[:, (torch.arange(num_frames, device=device) - LEAD_FRAMES).clamp(min=0)]
    power = with_slow_power(conditions.mix_power).transpose(1, 2)
    root, tones = model.conditions.harmony(levels_of(power)).float().chunk(2, dim=-1)
    worth = worth_of(root.softmax(dim=-1), tones.sigmoid(), is_bass=is_bass)
    heard = torch.arange(num_frames) + conditions.lookahead[:, None].clamp(max=CHORD_DELAY_FRAMES).cpu()
    heard = heard.clamp(0, worth.shape[1] - 1).to(worth.device)
    return worth.gather(1, heard[:, :, None].expand(-1, -1, NUM_PITCH_CLASSES))
