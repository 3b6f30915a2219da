"""Playing live: sessions, their frames, the engine that plays them, and the server around it."""
