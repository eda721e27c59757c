"""Make a full-duplex network of the half-duplex one: ``covo fd``, stage by stage.

A folder holds the whole work: the recipe with every number, and one folder for each stage
(:mod:`covo_cli.fd.work`). A stage goes on where it was stopped.
"""
