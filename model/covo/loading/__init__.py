"""Loading: weight files into modules, quantised on the way."""
