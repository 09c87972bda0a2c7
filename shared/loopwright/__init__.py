"""Loopwright: the contract and the SDK."""
