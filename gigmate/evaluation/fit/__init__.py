"""Whether a stem belongs to a mix, by an encoder that learned it from pairs; a judge, never a loss of the model."""
