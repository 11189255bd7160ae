"""The token by which the owner of a data directory gets in."""

import os
from datetime import datetime
from pathlib import Path

from shared import db, tokens
from shared.states import Role

NAME = "agent-manager up"


def ensure(path: Path, *, now: datetime) -> str:
    """The admin token kept at *path*; a new one if there is none, or the database knows it not."""
    kept = path.read_text().strip() if path.exists() else ""
    owner = tokens.Doorkeeper().authenticate(kept, now=now) if kept else None
    if owner is not None and owner.role is Role.ADMIN:
        return kept
    with db.transaction():
        _, token = tokens.create(NAME, Role.ADMIN, now=now)
        _write(path, token)
    return token


def _write(path: Path, token: str) -> None:
    """Write the file for its owner's eyes only, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{token}\n")
    draft.replace(path)
