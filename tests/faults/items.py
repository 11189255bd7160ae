"""The promises about batches: each item ends once, counts add up, and progress never falls."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from uuid import UUID

from evidence import Evidence
from record import ACTIVE, ENDED, Row, Snapshot

_COUNTED = ("queued", "running", "paused", "completed", "failed", "cancelled")


def are_counted(snapshot: Snapshot) -> Iterator[str]:
    """At every look: each item is one run at most, and the counts are what the runs are."""
    runs: dict[str, list[Row]] = defaultdict(list)
    for run in snapshot.runs.values():
        # The first release has no such column.
        if run.get("batch_id") is not None:
            runs[run["batch_id"]].append(run)
    for batch in snapshot.batches.values():
        name, of_it = f"Batch {UUID(batch['id'])}", runs.pop(batch["id"], [])
        for index, times in Counter(run["item_index"] for run in of_it).items():
            if times > 1:
                yield f"{name} has made {times} runs of item {index}."
        statuses = Counter(run["status"].lower() for run in of_it)
        for status in _COUNTED:
            if batch[status] != statuses[status]:
                yield f"{name} counts {batch[status]} {status}, and there are {statuses[status]}."
        if sum(batch[status] for status in _COUNTED) != batch["taken"] != len(of_it):
            yield f"{name} has taken {batch['taken']} items, and there are {len(of_it)} runs."
        if batch["accepted_at"] is None and of_it:
            yield f"{name} is not accepted, and {len(of_it)} of its items have become runs."
    for batch_id in runs:
        yield f"There are runs of batch {UUID(batch_id)}, which is not there."


def have_each_ended_once(evidence: Evidence, *, settled: bool) -> Iterator[str]:
    """Each item of a batch that has ended has exactly one final record; all have once *settled*."""
    snapshot = evidence.snapshot
    final: Counter[tuple[str, int]] = Counter(
        (run["batch_id"], run["item_index"])
        for run in snapshot.runs.values()
        if run["batch_id"] is not None and run["status"] in ENDED
    )
    items: dict[str, list[Row]] = defaultdict(list)
    for item in snapshot.items:
        items[item["batch_id"]].append(item)
    for batch in snapshot.batches.values():
        if batch["accepted_at"] is None:
            continue
        name = f"Batch {UUID(batch['id'])} is {batch['status']}"
        if len(items[batch["id"]]) != batch["total"]:
            yield f"{name}; it has {len(items[batch['id']])} items, and says {batch['total']}."
        if batch["status"] in ACTIVE:
            if settled:
                yield f"{name} still."
            continue
        for item in items[batch["id"]]:
            records = final[batch["id"], item["item_index"]]
            records += batch["dropped"] > 0 and item["item_index"] >= batch["taken"]
            if records != 1:
                key = item["item_key"] or item["item_index"]
                yield f"{name}; item {key} has {records} final records."


def do_not_crowd(evidence: Evidence) -> Iterator[str]:
    """Concurrency: no more of a batch runs or was sent than it says."""
    taken = Counter(
        run["batch_id"]
        for run in evidence.snapshot.runs.values()
        if run["status"] == "RUNNING" or (run["status"] == "QUEUED" and run["dispatches"])
    )
    for batch in evidence.snapshot.batches.values():
        most = batch["max_concurrency"]
        if most is not None and taken[batch["id"]] > most:
            yield f"{taken[batch['id']]} items of batch {UUID(batch['id'])} go on, {most} may."


def only_go_on(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Progress never falls, and a batch that has ended never changes."""
    for batch_id, old in before.batches.items():
        name, new = f"Batch {UUID(batch_id)}", after.batches.get(batch_id)
        if new is None:
            if old["accepted_at"] is not None:
                yield f"{name} was {old['status']}, and is gone."
        elif old["finished_at"] is not None and old != new:
            changed = {key: (old[key], new[key]) for key in old if old[key] != new[key]}
            yield f"{name} had ended, and was changed: {changed}."
        elif _ended(new) < _ended(old):
            yield f"{name} went back from {_ended(old)} to {_ended(new)} items that have ended."


def _ended(batch: Row) -> int:
    ended: int = batch["completed"] + batch["failed"] + batch["cancelled"] + batch["dropped"]
    return ended
