"""All tables, each after those that it refers to."""

from shared.batches.models import Batch, BatchItem, BatchProgress, BatchWorker, ComputeProfile
from shared.budgets.models import Budget, BudgetPeriod
from shared.models import (
    Agent,
    ApiToken,
    AuditEvent,
    Run,
    RunEvent,
    RunState,
    Schedule,
    Scheduler,
    Session,
    Tally,
    Worker,
)

TABLES = (
    *(Agent, Schedule, ComputeProfile, Batch, BatchProgress, BatchItem, BatchWorker),
    *(Run, RunEvent, RunState, Session, Budget, BudgetPeriod),
    *(Worker, Scheduler, Tally, ApiToken, AuditEvent),
)
