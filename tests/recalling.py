"""`make recall`: is the right lesson found for goals like the ones that it was learned from?

Lessons of a family of goals, and many that have nothing to do with them, are kept for two tenants
on a real bus. Then each held-out goal, the same task in other words, asks for what is known.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import nats

from loopwright import subjects
from loopwright.memory import Kept, Recalled
from loopwright.objects import NatsObjects
from loopwright.service.bus import Bus
from loopwright.service.llm.spend import one_per_byte
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare
from loopwright.testing import EPOCH
from loopwright_planner.prompt import Situation, write_prompt
from loopwright_planner.recall import StateRecall
from loopwright_planner.view import View
from planning import openai_goal, plan_request
from remembering import remembering
from servers import nats_server
from waiting import until

#: What a loop learned, and the objective of a later goal that needs it.
FAMILY: tuple[tuple[str, str], ...] = (
    ("CSV exports of the shop use semicolons; read them with delimiter ';'.",
     "Clean the shop's export: parse the csv and write one row for each order."),
    ("Dates in the penguin table are day first; parse them with dayfirst before taking the year.",
     "Add a year column to the penguin table from its dates."),
    ("The parser must refuse months in ISO durations with a ValueError.",
     "Write parse_duration for ISO 8601 durations."),
    ("pytest finds the package only after pip install -e; run the tests from the root.",
     "Make the failing tests of the package pass under pytest."),
    ("The changelog is generated; edit fragments in changes/ and never CHANGELOG.md.",
     "Add an entry about the new flag to the changelog."),
    ("Migrations must be reversible: each alembic upgrade needs its downgrade.",
     "Write an alembic migration that adds an index to the users."),
    ("The linter forbids print; use the structlog logger of the module.",
     "Replace print by logging so that the linter is content."),
    ("Thumbnails must keep the EXIF orientation; transpose before resizing.",
     "Resize photos to thumbnails without turning them."),
    ("The rate API answers 429 above ten requests a second; sleep between batches.",
     "Download exchange rates from the rate API for a year."),
    ("Docker builds fail without --platform linux/amd64 on the arm runners.",
     "Mend the docker build on the arm runner."),
    ("JSON numbers above 2^53 lose digits in the browser; send ids as strings.",
     "Ids in the browser differ from those of the JSON API; find out why."),
    ("Sorting names needs locale.strxfrm, else umlauts come last.",
     "Sort the list of names so that umlauts stand where they belong."),
    ("The invoice totals are rounded half even, with Decimal and never float.",
     "Compute invoice totals that agree with the ledger to the cent."),
    ("Terraform plans need the workspace to be selected first, else they touch production.",
     "Plan the terraform change for the staging workspace."),
    ("Word counts of the corpus ignore markup; strip HTML before counting.",
     "Count the words of the HTML corpus."),
    ("The cron job runs in UTC; convert the schedule from Berlin time.",
     "Schedule the cron job for six in the morning in Berlin."),
)  # fmt: skip
NOISE = 300
K = 5


def kept(tenant: str, number: int, text: str) -> Kept:
    """A fact of a tenant's loop."""
    return Kept(id=f"fact-{number:08}", tenant=tenant, kind="fact", text=text,
                loop=f"{tenant}-{number}", confidence=0.9, at=EPOCH)  # fmt: skip


def noise(number: int) -> str:
    """A memory that has nothing to do with any of the family, and shares words with other noise."""
    return f"Service s{number % 17} in zone z{number % 29} restarts its worker w{number} at night."


async def figures(folder: Path) -> dict[str, float | int]:
    """Keep, ask, and count."""
    settings = ServiceSettings(replica="recall")
    with nats_server(folder) as server:
        nc = await nats.connect(server.url)
        bus = Bus(nc)
        await declare(bus.js, settings)
        objects = NatsObjects(await bus.js.object_store(subjects.OBJECTS))
        async with remembering(bus, objects, timedelta(days=1)) as answers:
            memories = answers.learner.memories
            texts = [*(text for text, _ in FAMILY), *map(noise, range(NOISE))]
            for tenant in ("mine", "other"):
                for number, text in enumerate(texts):
                    await memories.keep(kept(tenant, number, text))

            async def all_there() -> bool:
                return all(len(memories.of(t)) == len(texts) for t in ("mine", "other"))

            await until(all_there, 60)
            found = [await asked(bus, objective) for _, objective in FAMILY]
        await nc.close()
    return counted(found)


async def asked(bus: Bus, objective: str) -> tuple[tuple[Recalled, ...], str]:
    """What a planner is told for a goal, and its prompt."""
    request = plan_request(openai_goal(objective=objective), tenant="mine")
    told = await StateRecall(bus.nc, answer_s=20.0)(request)
    situation = Situation(request.goal, request.grant, request.data, View(), told)
    return told, write_prompt(situation, 12_000, one_per_byte).user


def counted(found: list[tuple[tuple[Recalled, ...], str]]) -> dict[str, float | int]:
    """The figures of all goals."""
    first = any_of = in_prompt = leaks = 0
    for number, (told, prompt) in enumerate(found):
        wanted = f"mine-{number}"
        first += bool(told) and told[0].loop == wanted
        any_of += wanted in [item.loop for item in told]
        in_prompt += FAMILY[number][0] in prompt
        leaks += sum(not item.loop.startswith("mine-") for item in told)
    goals = len(found)
    return {
        "goals": goals,
        "memories": len(FAMILY) + NOISE,
        "recall_at_1": round(first / goals, 3),
        f"recall_at_{K}": round(any_of / goals, 3),
        "in_prompt": in_prompt,
        "leaks": leaks,
    }


def main() -> None:
    """Print the figures as one JSON line."""
    with TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(asyncio.run(figures(Path(folder)))) + "\n")


if __name__ == "__main__":
    main()
