"""Families as trees: a loop with the loops below it, in `ls --tree`, `show` and `watch`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text
from rich.tree import Tree

from loopwright.views import ChildView, LoopView
from loopwright_cli.render import BAD, DIM, GOOD, WARN, counted, of, outcome, seconds, short


def forest(views: Sequence[LoopView]) -> list[Tree]:
    """A tree for each loop whose parent is not in the list, in the list's order."""
    known = {view.loop for view in views}
    return [_tree(view, views) for view in views if view.parent not in known]


def _tree(view: LoopView, views: Sequence[LoopView]) -> Tree:
    tree = Tree(_line(view))
    for child in reversed(views):  # the newest come first in a list, the first child in a tree
        if child.parent == view.loop:
            tree.add(_tree(child, views))
    return tree


def _line(view: LoopView) -> Text:
    line = Text(f"{view.loop}  {short(view.name, 20)}  ").append(outcome(view))
    # What it took has a line of its own, so that no narrow terminal breaks inside of a number.
    line.append(f"\n{of(view.iteration, view.caps.iterations)} iterations", style=DIM)
    if view.best is not None:
        line.append(f"  score {view.best.score:.2f}", style=DIM)
    return line.append(f"  {seconds(view.duration_s)}", style=DIM)


def family(view: LoopView, below: Iterable[LoopView] = ()) -> Tree | None:
    """The loops below a loop, those that are known with their own children."""
    if not view.children:
        return None
    known = {item.loop: item for item in below}
    tree = Tree(Text("children", style=DIM))
    for child in view.children:
        seen = known.get(child.loop)
        grown = family(seen, known.values()) if seen else None
        branch = tree.add(child_line(child))
        for grandchild in grown.children if grown else ():
            branch.children.append(grandchild)
    return tree


def child_line(child: ChildView) -> Text:
    """A child in a line, as its parent knows it."""
    style = WARN if child.outcome is None else GOOD if child.outcome == "achieved" else BAD
    line = Text(f"{child.name}  ").append(child.outcome or "at work", style=style)
    score = "" if child.score is None else f"  score {child.score:.2f}"
    most = "" if child.outcome else "at most "
    line.append(f"{score}  {most}{counted(child.iterations, 'iteration')}  {child.loop}", style=DIM)
    return line


def turned(before: LoopView | None, now: LoopView) -> Iterator[Text]:
    """Lines about children that were started or have ended between two views."""
    known = {child.loop: child for child in before.children} if before else {}
    for child in now.children:
        if child != known.get(child.loop):
            yield Text("     ").append(child_line(child))
