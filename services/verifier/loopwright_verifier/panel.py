"""Models that judge: asked within the grant, counted by quorum, believed by what they can quote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from loopwright.budget import Amount, Usage
from loopwright.checks import JudgeCheck
from loopwright.errors import StepError
from loopwright.events import VerificationRequested
from loopwright.plan import CheckResult
from loopwright.service.gate import Gate, holder_of
from loopwright.service.limits import Limits
from loopwright.service.llm.capabilities import Capabilities, Features
from loopwright.service.llm.client import Call, Llm
from loopwright.service.llm.failures import of_finish
from loopwright.service.llm.guarded import Asks, GuardedLlm
from loopwright.service.llm.ladder import Ladder, response_format, step_error
from loopwright.service.llm.spend import Purse, TokenBound, Worst, one_per_byte
from loopwright.service.step import Request
from loopwright.workspace.paths import matches
from loopwright_verifier.ballot import SCHEMA, Vote, read_vote, write_prompt
from loopwright_verifier.core import result
from loopwright_verifier.scenes import Case

#: A vote needs room for a reason and a quote.
MIN_VOTE_TOKENS = 128
#: Files that are read at most, and bytes of one.
MAX_READ = 64
MAX_FILE_BYTES = 1_000_000
#: Kept of the time until the grant's deadline, to report in, in seconds.
REPORT_S = 1.0


@dataclass(frozen=True, slots=True)
class Panel:
    """The endpoint of the judges."""

    llm: Llm
    timeout_s: float
    gate: Gate | None = None
    """The models' breakers; without it every call is made."""
    limits: Limits | None = None
    """The providers' limits, which judges share with planners."""
    capabilities: Capabilities = field(default_factory=Capabilities)
    bound: TokenBound = one_per_byte
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def purse(
        self, check: JudgeCheck, request: Request[VerificationRequested], used: Usage
    ) -> Purse:
        """What this check may spend: its own worst case, within what is left of the grant."""
        price = request.data.prices.get(request.goal.judge_model(check))
        whole, worst = request.grant.reserved, check.worst(price)
        left = Amount(
            tokens=max(0, min(worst.tokens, whole.tokens - used.tokens)),
            cost_microusd=max(
                0, min(worst.cost_microusd, whole.cost_microusd - used.cost_microusd)
            ),
        )
        return Purse(left, price)

    async def judge(self, check: JudgeCheck, case: Case, purse: Purse) -> CheckResult:
        """The check's result by its votes; StepError where the endpoint fails."""
        if self.llm.keyless:
            raise StepError(
                "auth", "the verifier has no key: set OPENAI_API_KEY, or OPENAI_BASE_URL, or both"
            )
        work = await _work(check, case)
        votes: list[Vote] = []
        while not _decided(check, votes):
            votes.append(await self._vote(check, case, purse, work))
        return _counted(check, case.request.goal.judge_model(check), votes)

    async def _vote(
        self, check: JudgeCheck, case: Case, purse: Purse, work: dict[str, str]
    ) -> Vote:
        model = case.request.goal.judge_model(check)

        def compose(features: Features) -> tuple[Call, Worst]:
            return self._compose(check, case, purse, work, features)

        request = case.request
        ladder = Ladder(self._shared(request), self.capabilities, purse)
        answer = await ladder.ask(model, compose, request.stop)
        if answer.fault is not None:
            raise step_error(answer.fault)
        said = of_finish(answer.finish_reason, answer.refusal)
        return Vote(False, said.message) if said else read_vote(answer.text or "", work)

    def _shared(self, request: Request[VerificationRequested]) -> Asks:
        """The endpoint as all replicas share it."""
        if self.gate is None:
            return self.llm
        return GuardedLlm(self.llm, self.gate, holder_of(request), self.limits)

    def _compose(
        self, check: JudgeCheck, case: Case, purse: Purse, work: dict[str, str], features: Features
    ) -> tuple[Call, Worst]:
        goal = case.request.goal
        beside = self.bound(str(SCHEMA)) if features.format == "json_schema" else 0
        room = min(check.max_input_tokens, purse.input_room(check.max_output_tokens)) - beside
        messages = write_prompt(goal, check, work, room, self.bound)
        tokens = beside + sum(self.bound(text) for _, text in messages) + 16 * len(messages)
        output = purse.output_room(tokens, check.max_output_tokens)
        if not messages or output < min(MIN_VOTE_TOKENS, check.max_output_tokens):
            raise StepError("budget_too_small", self._too_small(check, purse))
        left = (case.request.grant.deadline - self.now()).total_seconds() - REPORT_S
        if left <= 0:
            raise StepError("timeout", "no time is left for a judge before the deadline")
        call = Call(
            model=goal.judge_model(check),
            messages=messages,
            max_output_tokens=output,
            cap=features.cap,
            timeout_s=min(self.timeout_s, left),
            temperature=check.temperature,
            response_format=response_format(features, "vote", SCHEMA),
        )
        return call, Worst(tokens, output)

    def _too_small(self, check: JudgeCheck, purse: Purse) -> str:
        return (
            f"the judge '{check.name}' has {purse.tokens_left} tokens and {purse.cost_left} "
            "micro-dollars left, too few for a vote: raise budget.tokens or budget.usd, or the "
            f"check's max_input_tokens, which is {check.max_input_tokens}"
        )


def _decided(check: JudgeCheck, votes: list[Vote]) -> bool:
    """Whether the votes that are still out could not change the outcome."""
    passing = sum(vote.passes for vote in votes)
    return passing >= check.needed or check.votes - len(votes) + passing < check.needed


def _counted(check: JudgeCheck, model: str, votes: list[Vote]) -> CheckResult:
    passing = sum(vote.passes for vote in votes)
    reasons = "\n".join(f"{'pass' if v.passes else 'fail'}: {v.reason}" for v in votes)
    good = passing >= check.needed
    against = next((vote.reason for vote in votes if not vote.passes), "")
    message = f"{passing} of {len(votes)} votes of {model} to pass, {check.needed} are needed"
    return result(
        check.name,
        "passed" if good else "failed",
        message if good else f"{message}; {against}",
        judged=reasons.encode(),
        text=reasons,
    )


async def _work(check: JudgeCheck, case: Case) -> dict[str, str]:
    """Texts of the revision by path: what the loop changed first, then small before large."""
    workspaces, loop = case.workspaces, case.request.loop
    entries = await workspaces.ls(loop, case.revision)
    changes = await workspaces.changed(loop, case.base, case.revision, ("**",))
    changed = {change.path for change in changes}
    shown = sorted(
        (entry.path not in changed, entry.bytes, entry.path)
        for entry in entries
        if matches(entry.path, check.show) and 0 < entry.bytes <= MAX_FILE_BYTES
        if entry.mode != "120000"  # a link's target is no text of the work
    )
    work = {}
    for _, _, path in shown[:MAX_READ]:
        text = _text(await workspaces.read(loop, case.revision, path))
        if text is not None:
            work[path] = text
    return work


def _text(content: bytes | None) -> str | None:
    """The content as text; None for binary."""
    if content is None or b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
