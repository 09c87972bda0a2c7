"""Taking in a child's end: what it spent is charged, the rest of its slice flows back. Pure."""

from __future__ import annotations

from loopwright.errors import UnreadableError
from loopwright.family import ChildEnd, ended
from loopwright.fold.state import Loop


def child_ended(loop: Loop, end: ChildEnd | None) -> Loop:
    """The loop after the end of one of its children."""
    if end is None:
        return loop
    child = next((child for child in loop.children if child.id == end.id), None)
    if child is None or child.end is not None:
        why = "has ended before" if child else "is no child of it"
        raise UnreadableError(f"loop {loop.id}: {end.id} ended, which {why}")
    update = {
        "children": ended(loop.children, end),
        "spent": loop.spent + end.spent,
        "overruns": loop.overruns + child.slice.overrun_by(end.spent),
    }
    return loop.model_copy(update=update)
