"""What a run can be, the moves between them, and the policies that decide what becomes of it.

The values are what the wire shows and what the database holds.
"""

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run is in its life."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"


QUEUED, RUNNING, PAUSED, COMPLETED, FAILED, CANCELLED, SKIPPED, MISSED = RunStatus

MOVES: dict[RunStatus, frozenset[RunStatus]] = {
    QUEUED: frozenset({RUNNING, CANCELLED}),
    RUNNING: frozenset({COMPLETED, FAILED, CANCELLED, PAUSED, QUEUED}),
    PAUSED: frozenset({QUEUED, FAILED, CANCELLED}),
}
ACTIVE = frozenset(MOVES)
ENDED = frozenset(RunStatus) - ACTIVE


class Trigger(StrEnum):
    """What made a run."""

    SCHEDULE = "SCHEDULE"
    MANUAL = "MANUAL"
    API = "API"
    RETRY = "RETRY"
    BATCH = "BATCH"
    NOTICE = "NOTICE"
    CHECK = "CHECK"


class CheckStatus(StrEnum):
    """What a check of an agent came to."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"


class BatchStatus(StrEnum):
    """Where a batch is in its life."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


LIVE_BATCH = frozenset({BatchStatus.QUEUED, BatchStatus.RUNNING, BatchStatus.PAUSED})


class BatchReason(StrEnum):
    """Why a batch pauses or ends, where that is not because all of it was done."""

    PAUSED_BY_REQUEST = "PAUSED_BY_REQUEST"
    BUDGET_SPENT = "BUDGET_SPENT"
    CANCELLED_BY_REQUEST = "CANCELLED_BY_REQUEST"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    ALL_FAILED = "ALL_FAILED"


class Overlap(StrEnum):
    """What becomes of a fire time while the run before it goes on."""

    SKIP = "SKIP"
    ALLOW = "ALLOW"


class SessionPolicy(StrEnum):
    """What a run of a schedule knows of those before it."""

    FRESH = "FRESH"
    SHARED = "SHARED"
    LAST_OUTPUT = "LAST_OUTPUT"


class ApprovalPolicy(StrEnum):
    """What becomes of a run whose agent wants to do what takes approval, or asks a question."""

    WAIT = "WAIT"
    DENY = "DENY"
    FAIL = "FAIL"


class CatchUp(StrEnum):
    """What becomes of fire times that passed unseen."""

    LATEST = "LATEST"
    NONE = "NONE"


class ErrorCode(StrEnum):
    """Why a run failed, was skipped or was missed: a closed list."""

    AGENT_ERROR = "AGENT_ERROR"
    TIMEOUT = "TIMEOUT"
    WORKER_LOST = "WORKER_LOST"
    REJECTED = "REJECTED"
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    APPROVAL_EXPIRED = "APPROVAL_EXPIRED"
    OVERLAP = "OVERLAP"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    AGENT_DISABLED = "AGENT_DISABLED"
    MISFIRE = "MISFIRE"


class BudgetScope(StrEnum):
    """Whose runs a budget is for."""

    INSTANCE = "INSTANCE"
    AGENT = "AGENT"
    SCHEDULE = "SCHEDULE"


class Period(StrEnum):
    """How long the money of a budget is to last."""

    DAY = "DAY"
    MONTH = "MONTH"


class WhenSpent(StrEnum):
    """What becomes of a run for which a budget has no room."""

    SKIP = "SKIP"
    PAUSE = "PAUSE"


class Role(StrEnum):
    """What a token may do; each role may do all that the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether this role may do what *other* may."""
        order = list(Role)
        return order.index(self) >= order.index(other)
