"""The server: one FastAPI app with the page, `POST /predict` and the live WebSocket; the only place that knows HTTP."""
