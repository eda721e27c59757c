"""Linear layers: products of a few rows with their weights, and weights held as integers."""
