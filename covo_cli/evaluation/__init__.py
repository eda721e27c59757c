"""How well a conversation's turn taking works: scripted conversations, held and judged.

A *scenario* (:mod:`~covo_cli.evaluation.scenarios.scenario`) says who speaks when and what would be
right. :mod:`~covo_cli.evaluation.running.run` holds it with an engine,
:mod:`~covo_cli.evaluation.judging.judge` compares what happened with what would be right,
:mod:`~covo_cli.evaluation.judging.metrics` sums up. The definitions and their sources are in
docs/evaluation.md.
"""
