"""One session of the Realtime API: what a client sends and is sent."""
