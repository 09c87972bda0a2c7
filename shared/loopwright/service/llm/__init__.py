"""Calls of models, for every service that makes them: one endpoint, a purse, fences around data."""
