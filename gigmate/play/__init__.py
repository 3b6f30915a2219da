"""The local player: a session between this machine's sound devices, without a server."""
