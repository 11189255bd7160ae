"""Identifiers."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from factories import NOON

from shared.ids import least_hex, uuid7, uuid7_hex


def test_an_id_is_a_version_7_uuid_of_its_millisecond():
    id = uuid7(NOON)

    assert (id.version, id.variant) == (7, RFC_4122)
    assert id.int >> 80 == NOON.timestamp() * 1000


def test_ids_sort_by_the_time_they_were_made_and_within_it_by_their_making():
    ids = [uuid7(NOON + timedelta(milliseconds=number // 100)) for number in range(1000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == 1000


def test_both_spellings_are_of_one_sequence():
    first, second = uuid7(NOON), UUID(uuid7_hex(NOON))

    assert first < second
    assert (second.version, second.variant) == (7, RFC_4122)


def test_an_id_does_not_tell_the_next_one():
    steps = {uuid7(NOON).int - uuid7(NOON).int for _ in range(100)}

    assert len(steps) > 90


def test_the_least_of_an_instant_comes_before_its_ids_and_after_all_earlier_ones():
    earlier = uuid7_hex(NOON - timedelta(milliseconds=1))

    assert earlier < least_hex(NOON) < uuid7_hex(NOON)


def test_none_was_made_before_1970():
    assert UUID(least_hex(datetime(1926, 11, 22, tzinfo=UTC))).int == 0
