"""Memory: what a network will take, and what makes it fit."""
