"""A world of questions that have one right answer: small enough to prove the recipe on a CPU."""
