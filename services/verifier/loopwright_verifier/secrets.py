"""Texts that look like keys, tokens and passwords: where they stand, never what they are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: What each looks like. The formats are their issuers' own; prefixes make false alarms rare.
PATTERNS: dict[str, str] = {
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{16,}",
    "model provider key": r"\bsk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,}",
    "password in a URL": r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]{1,64}:[^\s/@'\"{$<]{3,}@",
    "assigned secret": (
        r"(?i)\b(?:[a-z0-9_]*_)?(?:password|passwd|secret|api_?key|access_?token|auth_?token)"
        r"\s*[:=]\s*['\"][^'\"\s{}$<>]{8,}['\"]"
    ),
}
#: Places that are named.
SHOWN = 10


def findings(path: str, text: str, more: Sequence[str] = ()) -> Iterator[tuple[str, int, str]]:
    """Path, line and kind of everything that looks like a secret."""
    for kind, pattern in (*PATTERNS.items(), *((f"/{own}/", own) for own in more)):
        for match in re.finditer(pattern, text):
            yield path, text.count("\n", 0, match.start()) + 1, kind
