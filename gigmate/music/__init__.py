"""Music as structure: beat grid and tracker, MIDI in and out, SoundFont rendering, the procedural band."""
