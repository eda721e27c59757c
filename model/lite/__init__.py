"""The embedded engine: a cascade of small models that runs on two CPU cores."""
