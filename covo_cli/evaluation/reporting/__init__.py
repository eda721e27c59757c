"""Reporting: tables, comparisons and pictures."""
