"""Places in messages: which there are, and what they are filled with."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared import templates
from shared.errors import Invalid
from shared.templates import NAMES, Places

RUN_ID = UUID("0197a3f0-0000-7000-8000-000000000001")


def filled_in(message, **changes):
    given = {
        "run_id": RUN_ID,
        "scheduled_for": datetime(2026, 11, 22, 23, 30, tzinfo=UTC),
        "previous_success": datetime(2026, 11, 20, 7, 0, 30, tzinfo=UTC),
        "last_output": "42",
        "schedule": "Daily summary",
        "timezone": "Europe/Berlin",
    }
    return templates.filled_in(message, Places(**given | changes).values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scheduledFor", "2026-11-23T00:30:00+01:00"),
        ("scheduledFor.date", "2026-11-23"),
        ("scheduledFor.time", "00:30"),
        ("scheduledFor.weekday", "Monday"),
        ("previousSuccessAt", "2026-11-20T08:00:30+01:00"),
        ("previousSuccessAt.date", "2026-11-20"),
        ("previousSuccessAt.time", "08:00"),
        ("previousSuccessAt.weekday", "Friday"),
        ("lastOutput", "42"),
        ("schedule.name", "Daily summary"),
        ("run.id", str(RUN_ID)),
    ],
)
def test_each_name_stands_for_what_it_says(name, value):
    assert filled_in(f"Of {{{{ {name} }}}}, {{{{{name}}}}}.") == f"Of {value}, {value}."


def test_there_is_no_other_name():
    values = filled_in("".join(f"{{{{ {name} }}}}\n" for name in NAMES))

    assert len(NAMES) == 11
    assert "{{" not in values


@pytest.mark.parametrize(
    ("at", "zone", "shown"),
    [
        # The hour that comes twice when clocks go back, told apart by its offset.
        ("2026-10-25T00:30:00+00:00", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T01:30:00+00:00", "Europe/Berlin", "2026-10-25T02:30:00+01:00"),
        # Before and after the hour that does not come.
        ("2026-03-29T00:59:00+00:00", "Europe/Berlin", "2026-03-29T01:59:00+01:00"),
        ("2026-03-29T01:00:00+00:00", "Europe/Berlin", "2026-03-29T03:00:00+02:00"),
        ("2026-12-31T12:00:00+00:00", "Pacific/Kiritimati", "2027-01-01T02:00:00+14:00"),
        ("2026-06-01T00:00:00+00:00", "Asia/Kathmandu", "2026-06-01T05:45:00+05:45"),
    ],
)
def test_instants_are_as_the_clocks_of_the_zone_show_them(at, zone, shown):
    instant = datetime.fromisoformat(at)

    assert filled_in("{{ scheduledFor }}", scheduled_for=instant, timezone=zone) == shown
    assert filled_in("{{ scheduledFor.date }}", scheduled_for=instant, timezone=zone) == shown[:10]
    assert (
        filled_in("{{ scheduledFor.time }}", scheduled_for=instant, timezone=zone) == shown[11:16]
    )


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("scheduledFor", {"scheduled_for": None}),
        ("scheduledFor.weekday", {"scheduled_for": None}),
        ("previousSuccessAt", {"previous_success": None}),
        ("previousSuccessAt.date", {"previous_success": None}),
        ("lastOutput", {"last_output": None}),
        ("lastOutput", {"last_output": ""}),
    ],
)
def test_where_there_is_nothing_it_says_so(name, absent):
    assert filled_in(f"Since {{{{ {name} }}}}", **absent) == "Since none"


def test_what_is_filled_in_is_not_looked_at_again():
    said = "{{ run.id }} and {{ lastOutput }}"

    assert filled_in("{{ lastOutput }}", last_output=said) == said
    assert filled_in("{{ schedule.name }}", schedule="{{ run.id }}") == "{{ run.id }}"
    assert filled_in("{{ lastOutput }} run.id }}", last_output="{{") == "{{ run.id }}"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "No place",
        '{"a": {"b": 1}} and } or }}',
        "{{scheduledFor}} {{  lastOutput\t}} {{ \n run.id }}",
        "{{{ run.id }}}",
        "{ { nothing } }",
    ],
)
def test_what_can_be_filled_in_is_accepted(message):
    templates.check(message)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("On {{ sheduledFor }}", "There is no {{ sheduledFor }}; there are scheduledFor,"),
        ("{{ scheduledFor.year }}", "There is no {{ scheduledFor.year }}"),
        ("{{ ScheduledFor }}", "There is no"),
        ("{{}}", "There is no {{}}"),
        ("{{ run.id | upper }}", "There is no"),
        ("{{ run.__class__ }}", "There is no"),
        ("{{ run.id }} and {{ run.id", "After {{ there is no name and }}"),
        ("{{ run.id }", "After {{ there is no name and }}"),
        ("{{ {{ run.id }} }}", "After {{ there is no name and }}"),
        ("{{ a{b }}", "After {{ there is no name and }}"),
        ("{{ " + "x" * 10_000 + " }}", "There is no {{ xxx"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_with_what_there_is(message, says):
    with pytest.raises(Invalid) as raised:
        templates.check(message)

    (sentence,) = raised.value.fields["message"]
    assert sentence.startswith(says)
    assert len(sentence) < 500


def test_a_place_of_which_nothing_is_known_stays_as_it_is():
    assert filled_in("{{ weather }} {{") == "{{ weather }} {{"


def test_however_many_places_there_are_the_whole_is_bounded():
    message = "{{lastOutput}}" * 18_000

    filled = filled_in(message, last_output="x" * 1024 * 1024)

    assert len(filled) <= templates.MOST_FILLED + 18_000
    assert filled.startswith("xxx")


def test_a_long_output_in_one_place_is_cut_where_it_says_so():
    longest = "x" * templates.MOST_FILLED

    assert filled_in("{{ lastOutput }}", last_output=longest) == longest
    assert filled_in("{{ lastOutput }}", last_output=longest + "yz") == longest + "…"


def test_a_zone_that_is_gone_is_named():
    with pytest.raises(Invalid, match="Mars/Olympus"):
        filled_in("{{ run.id }}", timezone="Mars/Olympus")
