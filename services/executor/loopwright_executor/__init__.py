"""Loopwright executor."""
