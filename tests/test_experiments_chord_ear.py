"""The ear for chords is taught as it will hear, and told the chord of what will sound."""

import numpy as np
import pytest
import torch

from experiments.chord_songs import Harmonised
from experiments.fit_chord_ear import example, hear, loss_of, read
from gigmate.codec.features import NUM_FEATURES, NUM_SEMITONE_BANDS
from gigmate.generation.chord_ear import LEAD_FRAMES, STRIDE, ChordEar
from gigmate.generation.chord_listener import ChordListener, nothing_known
from gigmate.model.conditions import FrameConditions, step_conditions
from gigmate.model.pattern import delay
from gigmate.music.grid import BEAT_FEATURES

NUM_STRIDES = 250
LEAD = LEAD_FRAMES // STRIDE


@pytest.fixture(scope="module")
def song() -> Harmonised:
    rng = np.random.default_rng(0)
    return Harmonised(
        ("bass", "keys"),
        rng.uniform(-5, -2, (2, NUM_SEMITONE_BANDS, NUM_STRIDES)).astype(np.float16),
        rng.normal(size=(BEAT_FEATURES, NUM_STRIDES)).astype(np.float16),
        (np.arange(NUM_STRIDES) % 12).astype(np.int8),
        (1 << (np.arange(NUM_STRIDES) % 12)).astype(np.uint16),
    )


@pytest.mark.parametrize("off", [-3, 2])
def test_what_is_taught_is_what_is_heard(song: Harmonised, off: int) -> None:
    torch.manual_seed(0)
    ear, taught = ChordEar().eval(), example(song, 0, 0, None)
    pattern, num_frames = delay(5), STRIDE * len(taught.power)
    power = torch.zeros(1, NUM_FEATURES, num_frames)
    power[0, -NUM_SEMITONE_BANDS:] = taught.power.mT.repeat_interleave(STRIDE, dim=1)
    given = FrameConditions(
        power,
        torch.tensor([True]),
        taught.beats.mT.repeat_interleave(STRIDE, dim=1)[None],
        torch.tensor([2]),
        torch.tensor([STRIDE * off + pattern.max_delay]),
    )
    listener, steps = (
        ChordListener(ear, pattern.max_delay, torch.device("cpu")),
        step_conditions(given, pattern, num_frames),
    )
    chances = listener.hear(nothing_known(1, torch.device("cpu")), steps)[1]
    with torch.no_grad():
        root, tones, true_root, true_tones = hear(ear, [taught], torch.tensor([off]))
    first = max(0, -off)  # the frame that is played to when something is heard first
    frames = np.arange(first, first + len(root))
    if off <= 0:  # ahead of a song the first frames are never the newest that is heard
        torch.testing.assert_close(chances.root[0, STRIDE * frames].float(), root.softmax(dim=-1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(chances.tones[0, STRIDE * frames].float(), tones.sigmoid(), atol=1e-5, rtol=1e-4)
    else:
        settled = frames[100:]
        torch.testing.assert_close(
            chances.root[0, STRIDE * settled].float(), root[100:].softmax(dim=-1), atol=1e-3, rtol=0.01
        )
    assert true_root.tolist() == ((frames + LEAD) % 12).tolist()
    assert true_tones.argmax(dim=1).tolist() == true_root.tolist()


def test_a_song_can_be_learnt_and_figures_say_so(song: Harmonised) -> None:
    torch.manual_seed(0)
    one = song._replace(
        power=song.power.copy(),
        root=np.full(NUM_STRIDES, 4, np.int8),
        tones=np.full(NUM_STRIDES, 1 << 4 | 1 << 7, np.uint16),
    )
    one.power[:, (4 - 9) % 12 :: 12] = -1.0  # E stands out, and G a little
    one.power[:, (7 - 9) % 12 :: 12] = -1.5
    ear, rng, off = ChordEar(), np.random.default_rng(0), torch.tensor([0, 5])
    optimizer = torch.optim.Adam(ear.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = loss_of(ear, [example(one, 0, None, rng), example(one, 5, 1, rng)], off)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    figures = read(*hear(ear.eval(), [example(one, 0, None, None)], torch.tensor([0])))
    assert figures == {"root": "1.00", "tones: precision": "1.00", "recall": "1.00"}
