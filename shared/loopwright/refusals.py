"""What it means when the bus refuses to store a message: a sentence with the way out."""

from __future__ import annotations

from nats.js.errors import APIError

#: The server's codes for space that is used up: memory, the server's or account's disk, a stream's.
NO_SPACE = frozenset({10002, 10023, 10028, 10047, 10077, 10122})
WAY_OUT = (
    "nothing was stored. The bus has used up the disk that it may use: give it more "
    "(max_file_store, or the stream's max_bytes) or free some; loops go on by themselves then"
)


def refusal(subject: str, error: APIError) -> str:
    """Why a message for a subject was refused, for logs and people."""
    said = f"{subject}: the bus refuses it ({error.description or f'code {error.err_code}'})"
    return f"{said}; {WAY_OUT}" if error.err_code in NO_SPACE else said
