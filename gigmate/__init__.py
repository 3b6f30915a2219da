"""GigMate: a virtual bandmate that listens to music and plays a stem that fits."""

__version__ = "0.1.0"
