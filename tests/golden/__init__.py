"""Logs as each released version wrote them, and the states that they fold to."""
