"""Every error that is raised on purpose, drawn as a tree.

AgentManagerError
├── SettingsError        a process cannot work as it is asked to
├── CronError            not a cron expression that ever fires
├── NotFound             nothing answers to that id
├── Conflict             the thing is in a state that does not allow it
├── VersionMismatch      somebody else changed it first
├── BackupFailed         there is no sound copy of the database where one was wanted
└── Invalid              a value is wrong; says which field and how
"""

from collections.abc import Mapping


class AgentManagerError(Exception):
    """The root of the tree. Its text is a sentence for the person who can mend it."""


class SettingsError(AgentManagerError):
    """A setting is wrong, or two contradict each other: the process refuses to start."""


class CronError(AgentManagerError):
    """Not a cron expression that we can promise to follow."""


class NotFound(AgentManagerError):
    """Nothing answers to that id."""

    def __init__(self, kind: str, id: object) -> None:
        super().__init__(f"There is no {kind} {id}.")


class Conflict(AgentManagerError):
    """The thing is in a state that does not allow what was asked."""


class VersionMismatch(AgentManagerError):
    """Somebody else changed the thing since it was read."""


class Invalid(AgentManagerError):
    """Values are wrong. *fields* maps each field, as the wire names it, to sentences."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self.fields = dict(fields)
        super().__init__(" ".join(f"{name}: {' '.join(says)}" for name, says in fields.items()))
