"""Pictures of the page: `python -m experiments.live_pictures [FOLDER]`, by default those in `docs/`.

Start, playing and an error, on a desktop and on a phone, against the real server with the weights that ship.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from experiments.live_browser import browsing, until
from experiments.live_server import RATE, serving
from gigmate.config.cli import guarded

_DEVICES: dict[str, dict[str, Any]] = {
    "page": {"viewport": {"width": 1100, "height": 1080}, "color_scheme": "light"},
    "page_phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}
_PLAY_S = 9
_REFUSE = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); };"


def take(page: Any, address: str, path: Path) -> None:
    """Three files that begin with `path`: at the start, playing with the practice band, a microphone refused.

    Raises:
        TimeoutError: it doesn't get on.
    """
    page.add_init_script(_REFUSE)
    page.goto(address)
    page.wait_for_selector("#figures dd")
    page.screenshot(path=path.with_name(f"{path.name}_start.png"))
    page.click("#start")
    until(page, "gigmate.band.state === 'playing'")
    until(page, f"gigmate.band.block.index > {_PLAY_S} * gigmate.band.sampleRate")
    page.screenshot(path=path.with_name(f"{path.name}.png"))
    page.click("#start")
    page.select_option("#source", "microphone")
    page.click("#start")
    page.wait_for_selector("#message:not([hidden])")
    page.screenshot(path=path.with_name(f"{path.name}_error.png"))


def _run(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name:
        silence = Path(name) / "silence.wav"
        soundfile.write(silence, np.zeros(RATE, np.float32), RATE)
        with serving(Path(name), capacity=1) as server, browsing(silence) as browser:
            for device, options in _DEVICES.items():
                take(browser.new_page(**options), f"http://127.0.0.1:{server.port}/", folder / device)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "docs")
    folder = parser.parse_args().folder
    sys.exit(guarded(lambda: _run(folder)))


if __name__ == "__main__":
    main()
