"""A revision of one loop's workspace, given to another: its bundles, copied by name."""

from __future__ import annotations

from loopwright.objects import Objects


async def share_bundles(objects: Objects, source: str, target: str, revision: str) -> None:
    """Publish a revision of `source`, and those that its bundle builds on, for `target` too.

    Doing it again changes nothing. Raises ObjectMissingError where `source` has no such revision.
    """
    needed, done = revision, set[str]()
    while needed and needed not in done:
        done.add(needed)
        meta = await objects.info(f"{source}/{needed}")
        bundle = await objects.get(f"{source}/{needed}")
        await objects.put(f"{target}/{needed}", bundle, meta=meta)
        needed = meta.get("parent", "")
