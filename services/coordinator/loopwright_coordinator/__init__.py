"""Loopwright coordinator."""
