"""The promises about ends: they are true of the outside, they are final, and they come."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from datetime import timedelta
from uuid import UUID

from evidence import Evidence
from record import ACTIVE, ENDED, Line, Row, Snapshot

# How long after the end of its lease a run may wait for the reaper.
_REAPED_WITHIN = timedelta(seconds=5)


def are_of_all_that_was_accepted(evidence: Evidence, accepted: Collection[str]) -> Iterator[str]:
    """Durable acceptance: each run and batch that was answered with 2xx is on record."""
    there = evidence.snapshot.runs.keys() | evidence.snapshot.batches.keys()
    for id in accepted:
        if UUID(id).hex not in there:
            yield f"{id} was accepted, and is not there."


def are_true(evidence: Evidence) -> Iterator[str]:
    """What is on record as the end is what happened outside, by the attempt that had the run."""
    for run in evidence.snapshot.runs.values():
        attempts = evidence.tried(run)
        final = attempts.get(run["attempt"])
        last = final.last[0] if final is not None and final.last else None
        name = f"Run {UUID(run['id'])} is {run['status']}"
        if final is not None and final.taken and run["status"] in {"RUNNING", "COMPLETED"}:
            yield f"{name} by attempt {run['attempt']}, which had been taken back."
        match run["status"]:
            case "COMPLETED" if run["kind"] == "outside":
                if last is None or last.what != "ended":
                    yield f"{name}, and outside its attempt {run['attempt']} never ended."
                elif last.content != run["content"]:
                    yield f"{name} with {run['content']!r}; outside it was {last.content!r}."
            case "FAILED":
                yield from _failed(run, last, name)
            case "CANCELLED":
                if run["cancel_requested_at"] is None:
                    yield f"{name}, and nobody asked for it."
                if run["content"] is not None:
                    yield f"{name}, and has a result all the same."
            case "SKIPPED" | "MISSED":
                if attempts or run["attempt"]:
                    yield f"{name}, and was executed."
        if run["status"] in {"FAILED", "SKIPPED", "MISSED"} and not run["error"]:
            yield f"{name}, and does not say why."


def _failed(run: Row, last: Line | None, name: str) -> Iterator[str]:
    code = (run["error"] or {}).get("code")
    if code == "WORKER_LOST" and run["attempt"] - run["uncounted"] < run["max_attempts"]:
        yield f"{name} for a lost worker, with attempts left."
    if run["kind"] != "outside":
        return
    if code == "AGENT_ERROR" and (last is None or last.what != "failed"):
        yield f"{name}, and outside its attempt {run['attempt']} did not fail."
    if code == "TIMEOUT" and last is not None and last.what == "failed":
        yield f"{name} for taking too long, and outside it had failed."


def have_sound_events(evidence: Evidence) -> Iterator[str]:
    """Events are numbered without a gap, and old owners append none."""
    by_run: dict[str, list[Row]] = defaultdict(list)
    for event in evidence.snapshot.events:
        by_run[event["run_id"]].append(event)
    for run_id, events in by_run.items():
        numbers = [event["seq"] for event in events]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"The events of run {UUID(run_id)} are numbered {numbers}."
        attempts = [event["attempt"] for event in events]
        if attempts != sorted(attempts):
            yield f"The events of run {UUID(run_id)} are of attempts {attempts}: one came late."


def are_where_they_must_be(evidence: Evidence, *, settled: bool) -> Iterator[str]:
    """Progress: all have ended once it is *settled*, and until then none is held by the dead."""
    snapshot = evidence.snapshot
    taken: Counter[str] = Counter()
    for run in snapshot.runs.values():
        name = f"Run {UUID(run['id'])} is {run['status']}"
        if run["status"] in ACTIVE and settled:
            yield f"{name} still."
        if (run["status"] == "RUNNING") != (run["leased_by"] is not None):
            yield f"{name}, and leased by {run['leased_by']}."
        if run["status"] == "RUNNING" and run["lease_until"] + _REAPED_WITHIN < snapshot.taken_at:
            yield f"{name}, and its lease ran out at {run['lease_until']}."
        if (run["status"] in ENDED) != (run["finished_at"] is not None):
            yield f"{name}, and finished at {run['finished_at']}."
        if run["status"] == "RUNNING" or (run["status"] == "QUEUED" and run["dispatches"]):
            taken[run["agent_id"]] += 1
    for agent_id, places in taken.items():
        most = snapshot.agents[agent_id]["max_concurrency"]
        if most is not None and places > most:
            yield f"{places} places of agent {agent_id} are taken, it has {most}."


def are_final(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Final is final, and attempts only go up."""
    for run_id, old in before.runs.items():
        new = after.runs.get(run_id)
        name = f"Run {UUID(run_id)}"
        if new is None:
            yield f"{name} was {old['status']}, and is gone."
        elif old["status"] in ENDED and (changed := _changed(old, new)):
            yield f"{name} had ended, and was changed: {changed}."
        elif new["attempt"] < old["attempt"]:
            yield f"{name} went back from attempt {old['attempt']} to {new['attempt']}."


def _changed(old: Row, new: Row) -> dict[str, tuple[object, object]]:
    """What of *old* is another in *new*, which a migration may have given more columns."""
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}
