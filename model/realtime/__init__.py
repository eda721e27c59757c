"""A server that holds the conversation, behind OpenAI's realtime protocol (GA, WebSocket)."""
