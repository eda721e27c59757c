"""How well a conversation's turn taking works: scripted conversations, held and judged.

A *scenario* (:mod:`~covo_cli.evaluation.scenario`) says who speaks when and what would be right.
:mod:`~covo_cli.evaluation.run` holds it with an engine, :mod:`~covo_cli.evaluation.judge` compares
what happened with what would be right, :mod:`~covo_cli.evaluation.metrics` sums up. The definitions
and their sources are in docs/evaluation.md.
"""
