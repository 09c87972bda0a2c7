"""Guards of workspaces and verification."""

from __future__ import annotations

from mutation.mutant import Mutant

VERIFIER = "services/verifier/loopwright_verifier"
JUDGE = "tests/integration/test_verifier_judge.py"
LAYERS = "tests/integration/test_verifier_layers.py"
HOSTS = "tests/integration/test_alternate_hosts.py"

ROWS: tuple[Mutant, ...] = (
    Mutant(
        "believes a judge who quotes nothing",
        f"{VERIFIER}/ballot.py",
        "    if not quotes:\n",
        "    if False:\n",
        f"{JUDGE}::test_a_vote_without_evidence_counts_for_nothing",
    ),
    Mutant(
        "believes a quote that does not stand in the work",
        f"{VERIFIER}/ballot.py",
        "        if quote.text.strip() not in content:\n",
        "        if False:\n",
        f"{JUDGE}::test_a_vote_without_evidence_counts_for_nothing",
    ),
    Mutant(
        "pays a judge for work that fails anyhow",
        f"{VERIFIER}/step.py",
        "elif isinstance(check, JudgeCheck) and failing:",
        "elif isinstance(check, JudgeCheck) and not failing:",
        f"{JUDGE}::test_a_judge_turns_no_failed_check_green",
    ),
    Mutant(
        "calls a judge beyond its reserve",
        f"{VERIFIER}/panel.py",
        "if not messages or output < min(MIN_VOTE_TOKENS, check.max_output_tokens):",
        "if False:",
        f"{JUDGE}::test_a_judge_never_spends_more_than_is_reserved",
    ),
    Mutant(
        "forgets what a judge cost where it failed",
        f"{VERIFIER}/step.py",
        "found.usage = found.usage + purse.used",
        "pass",
        f"{JUDGE}::test_what_was_spent_before_a_failure_is_reported",
    ),
    Mutant(
        "asks a judge again until it agrees",
        f"{VERIFIER}/step.py",
        "        if before is not None:\n",
        "        if False:\n",
        f"{JUDGE}::test_the_same_revision_is_not_put_to_a_judge_until_it_likes_it",
    ),
    Mutant(
        "takes a flaky check for passed",
        f"{VERIFIER}/repeats.py",
        'if run.status != "passed"), None)',
        'if run.status == "error"), None)',
        f"{LAYERS}::test_a_check_that_comes_out_differently_is_flaky_and_failed",
    ),
    Mutant(
        "asks any server",
        f"{VERIFIER}/probe.py",
        "        if not self.allows(check.url):\n",
        "        if False:\n",
        f"{LAYERS}::test_the_refusal_names_the_setting",
    ),
    Mutant(
        "dates a revision by the worker's clock",
        "services/executor/loopwright_executor/app.py",
        "at=grant.deadline",
        "at=__import__('datetime').datetime.now(__import__('datetime').UTC)",
        f"{HOSTS}::test_two_hosts_take_turns_and_make_the_revisions_that_one_would",
    ),
    Mutant(
        "lets the address of a repository run a command",
        "shared/loopwright/workspace/sources.py",
        '"GIT_ALLOW_PROTOCOL": PROTOCOLS,',
        '"GIT_ALLOW_PROTOCOL": f"ext:{PROTOCOLS}",',
        "tests/integration/test_sources.py::test_an_address_runs_no_command",
    ),
    Mutant(
        "takes a hard link of an archive for a file",
        "shared/loopwright/workspace/archives.py",
        "if not member.isreg():",
        "if not (member.isreg() or member.islnk()):",
        "tests/integration/test_sources.py"
        "::test_a_hostile_archive_is_refused_by_what_is_wrong[hard link]",
    ),
    Mutant(
        "lays the work into somebody's index",
        "shared/loopwright/workspace/branches.py",
        'index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}',
        "index = dict[str, str]()",
        "tests/integration/test_branches.py::test_a_branch_holds_the_work_and_nothing_else_changes",
    ),
)
