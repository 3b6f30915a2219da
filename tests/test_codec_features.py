import pytest
import torch

from gigmate.codec.features import NUM_FEATURES, NUM_MEL_BANDS, MixFeatures

CLOCKS = [(24_000, 480), (24_000, 320), (24_000, 1920), (44_100, 512), (48_000, 320), (32_000, 640)]


def noise(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(seed))


def sine(hz: float, seconds: float, sample_rate: int) -> torch.Tensor:
    time_s = torch.arange(int(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return torch.sin(2 * torch.pi * hz * time_s).float()[None, None]


@pytest.mark.parametrize(("sample_rate", "hop"), CLOCKS)
@pytest.mark.parametrize("extra", [0, 1])
def test_one_column_of_finite_power_per_frame(sample_rate: int, hop: int, extra: int) -> None:
    power = MixFeatures(sample_rate, hop).analyse(noise(2, 7 * hop + extra))
    assert power.shape == (2, NUM_FEATURES, 7 + extra)
    assert power.dtype == torch.float32
    assert torch.isfinite(power).all()
    assert (power >= 0).all()


@pytest.mark.parametrize(("sample_rate", "hop"), CLOCKS)
def test_stream_equals_offline_in_ragged_chunks(sample_rate: int, hop: int) -> None:
    features = MixFeatures(sample_rate, hop)
    wave = noise(2, 23 * hop)
    offline = features.analyse(wave)
    stream = features.stream(batch=2)
    for _ in range(2):  # the second time after a reset
        chunks = [stream.push(part) for part in wave.split([hop, 5 * hop, 2 * hop, hop, 14 * hop], dim=2)]
        torch.testing.assert_close(torch.cat(chunks, dim=2), offline, rtol=1e-5, atol=1e-9)
        stream.reset()


def test_a_frame_is_the_same_to_the_last_bit_live_and_offline() -> None:
    features = MixFeatures(
        24_000, 480
    )  # one rounding more, and after some minutes live draws another code than offline
    wave, stream = noise(1, 480 * 300), features.stream()
    live = [stream.push(frame) for frame in wave.split(480, dim=2)]
    assert torch.equal(torch.cat(live, dim=2), features.analyse(wave))


@pytest.mark.parametrize(("sample_rate", "hop"), CLOCKS)
def test_the_mel_bands_alone_are_those_of_all_features_to_the_last_bit(sample_rate: int, hop: int) -> None:
    features, wave = MixFeatures(sample_rate, hop), noise(2, 90 * hop + 7)
    assert torch.equal(features.mel_bands(wave), features.analyse(wave)[:, :NUM_MEL_BANDS])
    with pytest.raises(ValueError, match="downmix"):
        features.mel_bands(wave[0])


def test_long_songs_go_through_in_blocks_without_a_seam() -> None:
    features = MixFeatures(24_000, 480)
    wave = noise(1, 480 * 530)
    late = features.analyse(wave[:, :, 480 * 460 :])[:, :, 40:]
    torch.testing.assert_close(features.analyse(wave)[:, :, 500:], late, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("sample_rate", "hop"), CLOCKS)
def test_no_frame_hears_past_its_own_end(sample_rate: int, hop: int) -> None:
    features = MixFeatures(sample_rate, hop)
    wave = noise(1, 12 * hop)
    changed = wave.clone()
    changed[:, :, 6 * hop :] = noise(1, 6 * hop, seed=1)
    before, after = features.analyse(wave), features.analyse(changed)
    assert torch.equal(before[:, :, :6], after[:, :, :6])
    for group in (slice(0, NUM_MEL_BANDS), slice(NUM_MEL_BANDS, None)):  # but each hears its own frame at once
        assert not torch.equal(before[:, group, 6], after[:, group, 6])


@pytest.mark.parametrize(("sample_rate", "hop"), CLOCKS)
@pytest.mark.parametrize("midi", [45, 57, 69, 81, 92])
def test_a_full_scale_sine_measures_one_in_its_own_band(sample_rate: int, hop: int, midi: int) -> None:
    power = MixFeatures(sample_rate, hop).analyse(sine(440 * 2 ** ((midi - 69) / 12), 0.6, sample_rate))
    semitones = power[0, NUM_MEL_BANDS:, -2]
    assert int(semitones.argmax()) == midi - 33
    assert float(semitones.max()) == pytest.approx(1, rel=0.05)
    assert float(power[0, :NUM_MEL_BANDS].max()) <= 2


def test_semitones_tell_neighbours_apart_from_an_octave_above_the_lowest() -> None:
    power = MixFeatures(24_000, 480).analyse(sine(220.0, 0.6, 24_000))[0, NUM_MEL_BANDS:, -2]
    assert float(power[24 + 2]) < 0.05 * float(power[24])


def test_power_of_uncorrelated_stems_adds() -> None:
    features = MixFeatures(24_000, 480)
    low, high = noise(1, 240_000), noise(1, 240_000, seed=1)
    mixed = features.analyse(low + 0.5 * high).mean(dim=2)
    summed = (features.analyse(low) + 0.25 * features.analyse(high)).mean(dim=2)
    torch.testing.assert_close(mixed, summed, rtol=0.25, atol=1e-6)
    torch.testing.assert_close(features.analyse(2 * low), 4 * features.analyse(low), rtol=1e-4, atol=1e-9)


def test_rows_of_a_batch_do_not_hear_each_other() -> None:
    features = MixFeatures(24_000, 480)
    wave = noise(3, 4_800)
    alone = torch.cat([features.analyse(row[None]) for row in wave])
    torch.testing.assert_close(features.analyse(wave), alone, rtol=1e-5, atol=1e-9)


def test_silence_is_zero_power() -> None:
    assert not MixFeatures(24_000, 480).analyse(torch.zeros(1, 1, 960)).any()


def test_what_it_cannot_hear_is_refused() -> None:
    features = MixFeatures(24_000, 480)
    with pytest.raises(ValueError, match="downmix"):
        features.analyse(torch.zeros(1, 2, 480))
    with pytest.raises(ValueError, match="buffer until a frame is full"):
        features.stream().push(torch.zeros(1, 1, 481))
    with pytest.raises(ValueError, match=r"stream takes \[1, 1"):
        features.stream().push(torch.zeros(2, 1, 480))
    with pytest.raises(ValueError, match="at least 8000 Hz"):
        MixFeatures(4_000, 480)
