"""Loopwright planner."""
