"""Checks of the revision as a whole, by git alone: nothing of the work runs for them."""

from __future__ import annotations

from loopwright.checks import ConsistencyCheck, SizeCheck, UnchangedCheck
from loopwright.plan import CheckResult
from loopwright_verifier.core import result
from loopwright_verifier.scenes import Case

#: Paths that are shown.
SHOWN = 10


async def unchanged(check: UnchangedCheck, case: Case) -> CheckResult:
    """Judged on the revision itself, before anything is put back."""
    changes = await case.workspaces.changed(
        case.request.loop, case.base, case.revision, check.paths
    )
    shown = ", ".join(f"{change.path} {change.kind}" for change in changes[:SHOWN])
    message = shown or f"{', '.join(check.paths)} are as they were"
    return result(check.name, "failed" if changes else "passed", message)


async def size(check: SizeCheck, case: Case) -> CheckResult:
    """Files and bytes of the revision, and how many paths the loop changed."""
    entries = await case.workspaces.ls(case.request.loop, case.revision)
    changed = await case.workspaces.changed(case.request.loop, case.base, case.revision, ("**",))
    largest = max(entries, key=lambda entry: entry.bytes, default=None)
    found = (
        (len(entries), check.max_files, "files"),
        (sum(entry.bytes for entry in entries), check.max_bytes, "bytes"),
        (
            largest.bytes if largest else 0,
            check.max_file_bytes,
            f"bytes in {largest.path}" if largest else "bytes in a file",
        ),
        (len(changed), check.max_changed, "changed paths"),
    )
    wrong = [
        f"{number} {what}, at most {most} are allowed"
        for number, most, what in found
        if most is not None and number > most
    ]
    message = "; ".join(wrong) or f"{found[0][0]} files with {found[1][0]} bytes"
    return result(check.name, "failed" if wrong else "passed", message)


async def consistency(check: ConsistencyCheck, case: Case) -> CheckResult:
    """Whether the revision is what the plan's outcome says, and grew out of the goal's own."""
    workspaces, loop = case.workspaces, case.request.loop
    wrong = []
    if not await workspaces.descends(loop, case.revision, case.base):
        wrong.append(f"{case.revision[:12]} does not descend from {case.base[:12]}")
    outcome, plan = case.request.data.outcome, case.request.data.plan
    if outcome is not None:
        if outcome.revision != case.revision:
            wrong.append(f"the executor reported {outcome.revision[:12]}")
        ran = tuple(action.tool for action in outcome.actions)
        if ran != tuple(action.tool for action in plan.actions):
            wrong.append(f"{', '.join(ran) or 'nothing'} ran, which is not the plan")
        tree = await workspaces.contents(loop, case.revision)
        if outcome.tree is not None and outcome.tree != tree:
            wrong.append(f"the contents are {tree[:12]}, {outcome.tree[:12]} was reported")
    message = "; ".join(wrong) or "the revision is what the plan's outcome says"
    return result(check.name, "failed" if wrong else "passed", message)
