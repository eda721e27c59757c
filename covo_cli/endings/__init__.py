"""Train the weights that tell whether a turn is over (:mod:`model.turns.endings`)."""
