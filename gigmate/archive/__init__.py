"""Zip archives of songs, judged whole before the first byte is written."""

from gigmate.archive.directory import Limits
from gigmate.archive.unpack import extract

__all__ = ["Limits", "extract"]
