"""Audio codecs behind one protocol: waves to codes and back, offline and frame by frame."""
