"""Loopwright verifier."""
