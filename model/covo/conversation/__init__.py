"""A conversation: prompt, dialogue, history and the reply generator."""
