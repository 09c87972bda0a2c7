"""Real processes on a real bus and store, killed, frozen and lied to; then the books are checked.

`python -m chaos --loops 300 --kills 16 --seed 1`: see `drive` for what happens and `check` for
what must be true afterwards.
"""
