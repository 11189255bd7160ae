"""The promises about attempts: so many and no more, one owner at a time, and no crowd."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from uuid import UUID

from evidence import Evidence, Tried
from record import Row


def are_sound(evidence: Evidence) -> Iterator[str]:
    """Poison bound: each attempt is on record, with what became of it, and they are bounded."""
    for run_id, attempts in evidence.attempts.items():
        run = evidence.snapshot.runs.get(run_id)
        if run is None and all(map(evidence.is_after_all, attempts.values())):
            continue
        if run is None:
            yield f"Run {UUID(run_id)} was executed, and there is no record of it."
            continue
        for tried in attempts.values():
            if tried.attempt > run["attempt"] and not evidence.is_after_all(tried):
                yield f"The {tried} was made, and its record knows of {run['attempt']} only."
            if tried.last and not tried.began:
                yield f"The {tried} ended, and never began."
            if len(tried.taken) > 1:
                yield f"The {tried} was taken back {len(tried.taken)} times."
    for run in evidence.snapshot.runs.values():
        yield from _attempts_of(run, evidence.tried(run))


def _attempts_of(run: Row, attempts: Mapping[int, Tried]) -> Iterator[str]:
    name = f"Run {UUID(run['id'])}"
    bound = run["max_attempts"] + run["uncounted"]
    begun = [tried for tried in attempts.values() if tried.began]
    if max(run["attempt"], len(begun)) > bound:
        most = max(run["attempt"], len(begun))
        yield f"{name} was started {most} times, {bound} is the most that it may."
    put_back = sum(
        event["type"] == "put_back" for tried in attempts.values() for event in tried.taken
    )
    if put_back != run["uncounted"]:
        yield f"{name} has {run['uncounted']} attempts that do not count, {put_back} were put back."
    # The last attempt too was taken back if the run waits for another.
    for number in range(1, run["attempt"] + (run["status"] == "QUEUED")):
        if number not in attempts or not attempts[number].taken:
            yield f"{name} does not say what became of attempt {number}."


def have_one_owner_at_a_time(evidence: Evidence) -> Iterator[str]:
    """One owner: an attempt begins when the one before is over, or the database took it back.

    Of an attempt that was lost nothing is asked: a worker that was frozen may thaw, and goes on
    until it learns of it.
    """
    for attempts in evidence.attempts.values():
        in_order = [attempts[number] for number in sorted(attempts)]
        for tried in in_order:
            for what, told in (("began", tried.began), ("ended", tried.last)):
                if len(told) > 1:
                    pids = sorted({f"{line.host}:{line.pid}" for line in told})
                    yield f"The {tried} {what} {len(told)} times, in {', '.join(pids)}."
            if tried.began and tried.last and tried.began[0].pid != tried.last[0].pid:
                yield f"The {tried} began in one process and ended in another."
        for at, tried in enumerate(in_order):
            if tried.was_lost() or not tried.began:
                continue
            for later in (each for each in in_order[at + 1 :] if each.began):
                if not tried.last:
                    yield f"The {later} began, and the {tried} was neither over nor lost."
                elif later.began[0].monotonic < tried.last[0].monotonic:
                    yield f"The {later} began while the {tried} went on, which was not lost."


def do_not_crowd(evidence: Evidence) -> Iterator[str]:
    """Concurrency: at no moment more attempts of an agent than it takes, lost ones not counted."""
    changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for run_id, attempts in evidence.attempts.items():
        run = evidence.snapshot.runs.get(run_id)
        for tried in attempts.values():
            if run is not None and tried.began:
                began = tried.began[0].monotonic
                over = _over(tried, run, clocks_lie=evidence.clocks_lie)
                changes[run["agent_id"]] += [(began, 1), (max(began, over), -1)]
    for agent_id, moments in changes.items():
        most = evidence.snapshot.agents[agent_id]["max_concurrency"]
        if most is None:
            continue
        going_on = highest = 0
        for _, change in sorted(moments):
            going_on += change
            highest = max(highest, going_on)
        if highest > most:
            yield f"{highest} runs of agent {agent_id} went on at once, {most} are the most."


def never_follow_a_cancel(evidence: Evidence) -> Iterator[str]:
    """Cancel: no attempt is begun after it."""
    for run in evidence.snapshot.runs.values():
        asked, started = run["cancel_requested_at"], run["started_at"]
        if asked is not None and started is not None and started > asked:
            yield f"Run {UUID(run['id'])} was started at {started}, though cancelled at {asked}."


def _over(tried: Tried, run: Row, *, clocks_lie: bool) -> float:
    """Until when an attempt had its place, on the monotonic clock: till its end or its loss."""
    began = tried.began[0]
    ends = [line.monotonic for line in tried.last]
    taken = [event["at"] for event in tried.taken]
    if tried.attempt == run["attempt"] and run["finished_at"] is not None:
        taken.append(run["finished_at"])
    if not clocks_lie:
        ends += [began.monotonic + (at - began.at).total_seconds() for at in taken]
    elif not ends and taken:
        ends.append(began.monotonic)
    return min(ends, default=float("inf"))
