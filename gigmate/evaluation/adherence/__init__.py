"""Adherence: how well a stem fits its song, between another song's stem (0) and the true one (1)."""
