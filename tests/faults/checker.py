"""Whether every promise was kept, by what the database and the outside world say apart from each
other.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from itertools import pairwise

import attempts
import ends
import instants
import items
import pytest
from evidence import Evidence
from named import Order
from record import Line, Snapshot

_MOST_SHOWN = 50


def check(
    snapshot: Snapshot,
    lines: Sequence[Line],
    orders: Iterable[Order],
    *,
    settled: bool = True,
    accepted: Collection[str] = (),
    earlier: Sequence[Snapshot] = (),
    clocks_lie: bool = False,
    on_time: timedelta | None = None,
) -> None:
    """Fail the test with a sentence for each broken promise of the design.

    *lines* is what the agents did outside; *orders* are all schedules. *settled*: everything has
    ended and every instant until the snapshot has been seen. *accepted* are the ids of runs and
    batches that were answered with 2xx. *earlier* are snapshots of before, oldest first.
    *clocks_lie*: some process had a wrong clock, so that instants of different processes cannot be
    compared.
    *on_time*: no run began its first attempt later than that after its instant.
    """
    evidence = Evidence(
        snapshot=snapshot,
        lines=[line for line in lines if line.monotonic <= snapshot.until],
        orders=list(orders),
        clocks_lie=clocks_lie,
    )
    broken = [
        *instants.each_recorded_once(evidence, settled=settled),
        *instants.no_key_made_two(evidence),
        *attempts.are_sound(evidence),
        *attempts.have_one_owner_at_a_time(evidence),
        *attempts.do_not_crowd(evidence),
        *ends.are_true(evidence),
        *ends.have_sound_events(evidence),
        *ends.are_where_they_must_be(evidence, settled=settled),
        *ends.are_of_all_that_was_accepted(evidence, accepted),
        *items.are_counted(snapshot),
        *items.have_each_ended_once(evidence, settled=settled),
        *items.do_not_crowd(evidence),
    ]
    if not clocks_lie:
        broken += [*instants.never_early(evidence), *attempts.never_follow_a_cancel(evidence)]
    if on_time is not None:
        broken += instants.never_late(evidence, on_time)
    for before, after in pairwise([*earlier, snapshot]):
        broken += [*ends.are_final(before, after), *items.only_go_on(before, after)]
    if broken:
        shown = [*broken[:_MOST_SHOWN], *(["…"] if len(broken) > _MOST_SHOWN else [])]
        pytest.fail(f"{len(broken)} promises broken:\n" + "\n".join(shown), pytrace=False)
