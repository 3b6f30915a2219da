"""The interleaved-codebook transformer that hears a mix and plays a stem: network, conditions, cache and loss."""
