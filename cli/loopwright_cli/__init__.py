"""The loopwright command and the local runtime."""
