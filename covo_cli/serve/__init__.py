"""A server that holds conversations for clients of the OpenAI Realtime API."""
