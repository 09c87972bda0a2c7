"""What must not happen twice, while workers are killed in the middle of it."""

from __future__ import annotations

from pathlib import Path

from effects.__main__ import effects


async def test_no_effect_happens_twice_while_workers_are_killed(tmp_path: Path) -> None:
    found = await effects(tmp_path, executions=1400, kills=5, seed=1)
    assert found.violations == []
    assert found.executions >= 1400
    assert found.kills >= 5
    assert found.retold >= 5 * 20


async def test_without_the_journal_effects_happen_twice(tmp_path: Path) -> None:
    found = await effects(tmp_path, executions=40, kills=1, seed=1, journal="none")
    assert any("happened 2 times" in sentence for sentence in found.violations)
