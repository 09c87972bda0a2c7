"""A model server that meters what it sells, many planners that call it, and what goes wrong.

`python -m metering kills`: the provider's own meter never shows more than a goal's caps.
`python -m metering outage`: an open breaker lets through no more than its probes.
"""
