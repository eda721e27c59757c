"""Measure the native full duplex: its steps, its voice, its behaviours."""
