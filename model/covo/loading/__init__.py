"""From a folder to networks that are ready."""
