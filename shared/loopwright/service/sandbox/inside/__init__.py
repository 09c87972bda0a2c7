"""The trusted program that starts, watches and ends one sandboxed command.

It runs in a process of its own under `python -I -S`, outside the package, so its modules import
only each other and what is quick to load of the standard library; pathlib is not.
"""
