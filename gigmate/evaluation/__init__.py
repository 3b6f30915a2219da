"""Figures beside their anchors: what the codec keeps, whether the model listens, how a continuation joins."""
