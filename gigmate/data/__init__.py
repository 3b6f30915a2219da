"""From songs to training windows: sources of stems, preparation, shards, windows, the LightningDataModules."""
