"""`python -m durability flips|kills|proxy|powercut|diskfull` ends with one JSON line of figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from durability.diskfull import fill_disk
from durability.flips import flip_bits
from durability.kills import append_through_kills
from durability.powercut import cut_power
from durability.through_proxy import compete_through_proxy


def main() -> int:
    """Run one proof; exit code 1 if it found a violation."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("ERROR"))
    options = _parser().parse_args()
    with TemporaryDirectory() as folder:
        figures = asyncio.run(_run(options, Path(folder)))
    for sentence in figures.pop("sentences"):
        print(sentence)
    print(json.dumps(figures | _versions()))
    return 1 if figures["violations"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="durability")
    parser.add_argument("--seed", type=int, default=1)
    proofs = parser.add_subparsers(dest="proof", required=True)
    flips = proofs.add_parser("flips")
    flips.add_argument("--flips", type=int, default=100)
    kills = proofs.add_parser("kills")
    kills.add_argument("--kills", type=int, default=5)
    kills.add_argument("--acks", type=int, default=10_000)
    kills.add_argument("--replicas", type=int, default=1)
    kills.add_argument("--sync-always", action="store_true")
    proxy = proofs.add_parser("proxy")
    proxy.add_argument("--minutes", type=float, default=0.0)
    proxy.add_argument("--appends", type=int, default=1_000)
    power = proofs.add_parser("powercut")
    power.add_argument("--cuts", type=int, default=3)
    power.add_argument("--acks", type=int, default=5_000)
    power.add_argument("--replicas", type=int, default=1)
    full = proofs.add_parser("diskfull")
    full.add_argument("--fills", type=int, default=5)
    full.add_argument("--acks", type=int, default=10_000)
    return parser


async def _run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    match options.proof:
        case "flips":
            flips = await flip_bits(folder, seed=options.seed, flips=options.flips)
            return _figures("tamper", asdict(flips), "missed")
        case "kills":
            kills = await append_through_kills(
                folder,
                seed=options.seed,
                kills=options.kills,
                acknowledged=options.acks,
                replicas=options.replicas,
                sync_always=options.sync_always,
            )
            sync = "always" if options.sync_always else "default"
            return _figures("durability", asdict(kills), "violations") | {"sync": sync}
        case "powercut":
            power = await cut_power(
                folder,
                seed=options.seed,
                cuts=options.cuts,
                acknowledged=options.acks,
                replicas=options.replicas,
            )
            return _figures("powercut", asdict(power), "violations") | {"sync": "always"}
        case "diskfull":
            full = await fill_disk(
                folder, seed=options.seed, fills=options.fills, acknowledged=options.acks
            )
            return _figures("diskfull", asdict(full), "violations") | {"sync": "always"}
        case _:
            proxy = await compete_through_proxy(
                folder, seed=options.seed, appends=options.appends, seconds=60 * options.minutes
            )
            return _figures("proxy", asdict(proxy), "violations")


def _figures(target: str, report: dict[str, Any], violations: str) -> dict[str, Any]:
    sentences = report.pop(violations)
    report["seconds"] = round(report["seconds"], 1)
    return {
        "target": target,
        "violations": len(sentences),
        **report,
        "sentences": sentences[:20],
    }


def _versions() -> dict[str, str]:
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    server = subprocess.run(
        [str(Path(sys.prefix, "bin", "nats-server")), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {"revision": revision.stdout.strip(), "nats": server.stdout.strip().split()[-1]}


if __name__ == "__main__":
    sys.exit(main())
