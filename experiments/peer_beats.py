"""The beats that librosa hears in a whole song, to stand beside GigMate's trackers.

`make bench-librosa` puts librosa into `.venv/librosa`, away from what GigMate itself needs. Source: Ellis, "Beat
tracking by dynamic programming", 2007.
"""

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FOLDER = Path(__file__).parents[1] / ".venv" / "librosa"


def librosa_beats(wave: NDArray[Any], rate: int) -> NDArray[np.float64]:
    """Times in seconds of the beats in `wave` [N].

    Raises:
        ImportError: it isn't installed.
    """
    if not _FOLDER.is_dir():
        raise ImportError(f"librosa isn't in {_FOLDER}: make bench-librosa")
    if str(_FOLDER) not in sys.path:
        sys.path.append(str(_FOLDER))
        # numba crashes on a cache that two processes have written
        folder = tempfile.mkdtemp(prefix="gigmate_numba_")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder
    librosa: Any = importlib.import_module("librosa")
    return np.asarray(librosa.beat.beat_track(y=wave, sr=rate, units="time")[1], np.float64)
