"""From a model's distributions to codes: samplers, guidance, one frame at a time, and whole pieces."""
