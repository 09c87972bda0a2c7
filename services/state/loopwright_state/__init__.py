"""Loopwright state."""
