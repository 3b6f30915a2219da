"""Audio files in and out, under limits: whatever a stranger's file claims, nothing here believes it."""

from gigmate.audio.io import (
    EXTENSIONS,
    FLOOR_DB,
    MAX_SECONDS,
    Audio,
    list_audio,
    loudness_db,
    read_audio,
    resample,
    to_channels,
    write_wav,
)

__all__ = [
    "EXTENSIONS",
    "FLOOR_DB",
    "MAX_SECONDS",
    "Audio",
    "list_audio",
    "loudness_db",
    "read_audio",
    "resample",
    "to_channels",
    "write_wav",
]
