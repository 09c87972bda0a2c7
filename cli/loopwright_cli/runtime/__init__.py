"""The local runtime: bus, store and services as child processes of one supervisor."""
