"""Random inputs to everything that covo reads from outside.

The tests run a few inputs of each kind, always the same; ``make fuzz`` runs thousands of new ones.
An input may be refused with an error that covo raises on purpose, and nothing else may come of it:
no other error, no file half written, no wait of more than 10 s.
"""
