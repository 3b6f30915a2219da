"""`make demo`, but for the setting up: sound and a picture in a folder whose path is printed last."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from gigmate import demo
from gigmate.audio import loudness_db, read_audio, write_wav


@pytest.mark.slow
@pytest.mark.parametrize("own_song", [False, True])
def test_the_demo_leaves_sound_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_song: bool
) -> None:
    arguments = ["--runs-dir", str(tmp_path)]
    if own_song:
        time = np.arange(4 * 22_050) / 22_050
        song = 0.4 * np.sin(2 * np.pi * 110 * time) * np.exp(-8 * (time % 0.5))
        write_wav(tmp_path / "mine.wav", song[None].astype(np.float32), 22_050)
        arguments += ["--song", str(tmp_path / "mine.wav"), "--instrument", "bass"]
    monkeypatch.setattr("sys.argv", ["demo", *arguments])
    demo.main()
    out = Path(capsys.readouterr().out.splitlines()[-1])
    assert out.is_relative_to(tmp_path)
    song, stem, mix = (read_audio(out / f"{name}.wav") for name in ("song", "stem", "mix"))
    assert song.wave.shape == stem.wave.shape == mix.wave.shape
    assert loudness_db(stem.wave) > -50
    assert (out / "report.json").is_file()
    picture = matplotlib.image.imread(out / "picture.png")
    assert picture.shape[0] > 300
    assert picture.std() > 0.05
