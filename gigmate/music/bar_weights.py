"""What speaks for a bar, in the order of `bars.describe`; written by `experiments.fit_tracker`."""

# Quarters of the beat: low, mid, high, change of chroma. How clearly half a beat, a beat, two beats repeat; octaves
# from 120 bpm, squared; the network's beats: on each quarter, a second. How alike chroma, low, mid are a bar apart;
# triple; the network's downbeats: on the first, on the others, a second. Sixteenths of a bar of 4, then of 3: low, mid,
# high, change of chroma, a line each.
# fmt: off
WEIGHTS = (
    -0.01, -0.18, 0.27, 0.06, -0.02, -0.13, 0.06, 0.26, 0.01, -0.31, 0.17, 0.26, 1.08, -0.28, -0.94, -1.39,
    0.05, 1.26, 1.07, 1.55, -1.07, 0.29, -0.26, -0.18, 0.00, 0.13, 0.07, 0.81, 0.24, -0.99, 0.94, 0.00, 0.63,
    0.27, -0.18, -0.20, -0.05, -0.24, -0.07, 0.17, -0.05, 0.08, 0.27, -0.03, 0.07, -0.12, -0.02, 0.05, 0.03,
    0.24, -0.45, -0.01, -0.06, 0.24, -0.04, -0.02, -0.24, -0.63, 0.34, -0.04, 0.02, 0.14, 0.15, 0.07, 0.28,
    0.01, -0.21, 0.14, -0.15, 0.37, -0.04, 0.07, -0.18, -0.57, 0.04, -0.18, 0.01, 0.19, 0.21, -0.03, 0.32,
    0.74, 0.73, -0.03, 0.07, -0.08, -0.31, 0.02, -0.40, -0.54, -0.11, -0.01, 0.07, -0.12, -0.31, 0.03, 0.26,
    0.41, 0.04, -0.39, -0.01, -0.59, -0.01, 0.16, -0.01, 0.18, -0.03, 0.23, 0.02,
    0.24, -0.03, -0.07, -0.14, 0.06, 0.01, 0.05, -0.00, -0.30, 0.02, 0.02, 0.15,
    -0.03, 0.04, 0.02, -0.12, 0.18, -0.04, -0.05, 0.02, -0.16, -0.01, 0.03, 0.10,
    0.92, 0.45, -0.19, -0.01, -0.22, -0.40, 0.10, -0.11, -0.70, -0.06, 0.09, 0.12,
)
# fmt: on
