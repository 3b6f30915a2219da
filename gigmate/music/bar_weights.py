"""What speaks for a bar, in the order of `bars.describe`; written by `experiments.fit_tracker`."""

# Quarters of the beat: low, mid, high, change of chroma. How clearly half a beat, a beat, two beats repeat; octaves
# from 120 bpm, squared; the network's beats: on each quarter, a second. How alike chroma, low, mid are a bar apart;
# triple; the network's downbeats: on the first, on the others, a second. Sixteenths of a bar of 4, then of 3: low, mid,
# high, change of chroma, a line each.
# fmt: off
WEIGHTS = (
    0.05, -0.30, 0.32, 0.10, 0.00, -0.15, 0.10, 0.31, 0.01, -0.35, 0.20, 0.29, 1.32, -0.50, -0.86, -1.10,
    0.24, 1.05, 0.83, 1.65, -1.05, 0.28, -0.25, -0.14, 0.01, 0.13, 0.17, 0.84, 0.57, -0.96, 0.93, -0.05, 0.61,
    0.30, -0.17, -0.17, -0.07, -0.29, -0.08, 0.14, -0.04, 0.15, 0.27, -0.02, 0.05, -0.16, -0.02, 0.05, 0.05,
    0.30, -0.41, 0.01, -0.06, 0.24, -0.08, -0.04, -0.26, -0.65, 0.39, -0.05, 0.00, 0.12, 0.10, 0.07, 0.32,
    0.02, -0.14, 0.15, -0.17, 0.37, -0.12, 0.04, -0.17, -0.54, 0.07, -0.16, 0.01, 0.14, 0.19, -0.03, 0.33,
    0.73, 0.75, -0.00, 0.07, -0.02, -0.33, -0.02, -0.45, -0.65, -0.10, -0.01, 0.08, -0.05, -0.32, 0.03, 0.30,
    0.40, 0.05, -0.31, -0.02, -0.62, 0.01, 0.11, 0.00, 0.21, -0.06, 0.19, 0.01,
    0.33, -0.01, -0.02, -0.16, -0.00, 0.03, 0.01, 0.01, -0.32, -0.03, 0.01, 0.15,
    0.08, 0.07, 0.05, -0.14, 0.10, -0.02, -0.07, 0.03, -0.18, -0.05, 0.02, 0.10,
    0.91, 0.54, -0.11, -0.01, -0.21, -0.41, -0.01, -0.08, -0.70, -0.13, 0.12, 0.10,
)
# fmt: on
