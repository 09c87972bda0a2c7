"""The benchmark runs, and says what is wrong with what it has measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from benchmarks.__main__ import Asked, bench
from benchmarks.books import faults
from benchmarks.figures import figures, ratios, table


async def test_the_product_is_measured_beside_the_bare_shape_and_the_bare_bus(
    tmp_path: Path,
) -> None:
    asked = Asked((2,), rounds=1, modes=("K",), length=0, parked=0, least=2, warm=1)
    found = await bench(asked, tmp_path)
    assert found.violations == []
    measured = {row.system: row.measured for row in found.rows}
    assert {name: one.iterations for name, one in measured.items()} == dict.fromkeys(
        ("product", "shape", "ring"), 10
    )
    line = figures(found.rows, found.flat, found.violations)
    assert line["violations"] == 0
    assert set(line["measured"]) == {"product/K/2", "shape/K/2", "ring/K/2"}
    assert "times the bare shape's" in " ".join(ratios(found.rows))
    assert "product" in table(found.rows)
    ring = measured["ring"]
    lost = dataclasses.replace(ring, unended=ring.ids[:1])
    assert await faults("ring", "", lost, 5) == [f"ring: loop {ring.ids[0]} did not end"]
