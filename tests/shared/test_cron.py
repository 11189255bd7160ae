"""Cron expressions: what is accepted, when it fires, and what people are told about it."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from shared import cron
from shared.errors import CronError, Invalid

EXAMPLES = json.loads((Path(__file__).parents[1] / "data/cron_examples.json").read_text())
NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)
EVENING_BEFORE_SPRING = datetime(2025, 3, 29, 20, tzinfo=UTC)
EVENING_BEFORE_AUTUMN = datetime(2025, 10, 25, 21, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

# The field at fault in each example that must be refused; None: it has not got five fields.
AT_FAULT = {
    "   ": None,
    "* * * * FOO": "day of week",
    "* * * 0-3 *": "month",
    "* * JAN * *": "day of month",
    "0 0 1 1/3 *": "month",
    "0 0 LW * *": "day of month",
    "0-60 * * * *": "minute",
    "1_0 * * * *": "minute",
    "5-1 * * * *": "minute",
    "5;ls * * * *": "minute",
    "@every 1s": None,
    "invalid-cron-spec": None,
    "\u0665 * * * *": "minute",
}


def examples(kind):
    return [
        pytest.param(each, id=each["id"]) for each in EXAMPLES["vectors"] if each["kind"] == kind
    ]


def first(count, expression, timezone="UTC", after=NOON):
    fire_times = cron.fire_times(cron.parse(expression), ZoneInfo(timezone), after)
    return list(islice(fire_times, count))


def refusal(expression):
    with pytest.raises(CronError) as refused:
        cron.parse(expression)
    return str(refused.value)


@pytest.mark.parametrize("example", examples("next"))
def test_it_fires_when_debians_cron_does(example):
    after = datetime.fromisoformat(example["start"])
    expected = [datetime.fromisoformat(each) for each in example["next"]]

    fire_times = first(len(expected), example["expr"], example["tz"], after)

    assert fire_times == expected


@pytest.mark.parametrize("example", examples("never"))
def test_what_never_fires_is_refused(example):
    says = refusal(example["expr"])

    assert "never fire" in says
    assert "day of month" in says


@pytest.mark.parametrize("example", examples("reject"))
def test_what_is_not_cron_is_refused_by_the_name_of_its_field(example):
    expression = example["expr"]
    field = AT_FAULT[expression]

    says = refusal(expression)

    if field is None:
        assert "five fields" in says
    else:
        assert says.startswith(f"The {field} field has ")


@pytest.mark.parametrize(
    ("expression", "instead"),
    [
        ("5/15 * * * *", "5-59/15"),
        ("0 8/4 * * *", "8-23/4"),
        ("0 0 * * MON/2", "MON-7/2"),
        ("0 22-5 * * *", "22-23,0-5"),
        ("0 23-0 * * *", "23,0"),
        ("0 0 * * SAT-SUN", "6-7"),
        ("0 0 * * 7-0", "7"),
        ("0 0 * * FRI-MON", "5-7,0-1"),
        ("0 0 * * Monday", "MON"),
        ("0 0 ? * *", "*"),
    ],
)
def test_a_refusal_says_what_to_write_instead(expression, instead):
    says = refusal(expression)

    assert re.search(r"write (\S+)\.$", says)[1] == instead
    wrong = next(each for each in expression.split() if f"'{each}'" in says)
    assert cron.parse(expression.replace(wrong, instead, 1))


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("0 0 * * 8", "The day of week field has '8': it goes from 0 to 7."),
        ("60 * * * *", "The minute field has '60': it goes from 0 to 59."),
        ("* * 0 * *", "The day of month field has '0': it goes from 1 to 31."),
        ("*/0 * * * *", "The minute field has '*/0': a step is a number from 1."),
        ("*/x * * * *", "The minute field has '*/x': a step is a number from 1."),
        ("* *-5 * * *", "The hour field has '*-5': * stands alone or takes a step, as in */5."),
        ("1,,2 * * * *", "The minute field has '1,,2': a comma stands between two items."),
        ("1, * * * *", "The minute field has '1,': a comma stands between two items."),
        ("x * * * *", "The minute field has 'x': write a number from 0 to 59."),
        ("-1 * * * *", "The minute field has '-1': that is not cron"),
        ("1-2-3 * * * *", "The minute field has '1-2-3': that is not cron"),
        ("* * * * 5L", "The day of week field has '5L': write a number from 0 to 7 or one of SUN"),
        ("* * * * 5#2", "The day of week field has '5#2': that is not cron"),
        ("0 0 * * * *", "not 6. Seconds and years are not among them."),
        ("* * * *", "not 4."),
        ("", "not 0."),
        ("@midnight", "There is no '@midnight'; write one of @hourly @daily"),
        ("@reboot", "There is no '@reboot'"),
    ],
)
def test_a_refusal_is_a_sentence_about_the_place(expression, says):
    assert says in refusal(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "\0 * * * *",
        "* * * * *\n",
        "* * * *\u00a0*",
        "\ud800 * * * *",
        "\uff11 * * * *",
        "\u00b2 * * * *",
        f"{'9' * 900} * * * *",
        f"*/{'9' * 900}x * * * *",
        f"{'1,' * 20_000}1 * * * *",
        "* " * 100_000,
        "*" * 1_000,
    ],
)
def test_hostile_text_is_refused_in_a_sentence_that_can_be_printed(expression):
    says = refusal(expression)

    assert says.isprintable()
    assert len(says) < 200


def test_blanks_and_tabs_around_and_between_fields_do_not_matter():
    plain = cron.parse("5 8 * * MON")

    assert cron.parse(" \t5  8\t*\t \t* mOn\t ") == plain
    assert cron.parse("05 008 * * 1") == plain


def test_a_list_may_be_as_long_as_an_expression():
    expression = f"{','.join(['1-59/2'] * 141)} * * * *"

    odd_minutes = cron.parse(expression)

    assert len(expression) < 1000
    assert odd_minutes == cron.parse(f"{','.join(map(str, range(1, 60, 2)))} * * * *")


@pytest.mark.parametrize(
    ("spelling", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * SUN"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
    ],
)
def test_a_spelling_means_its_five_fields(spelling, fields):
    assert cron.parse(spelling) == cron.parse(fields)


def test_one_of_the_two_day_fields_may_name_days_that_never_come():
    on_mondays = first(5, "0 0 31 2 1")

    assert on_mondays == first(5, "0 0 * 2 1")


def test_a_full_range_in_a_day_field_is_every_day_and_a_star_is_not():
    every_day = [NOON.replace(hour=0) + timedelta(days=n) for n in range(1, 10)]

    assert first(9, "0 0 1-31 * MON") == every_day
    assert first(9, "0 0 13 * SUN-SAT") == every_day
    assert first(2, "0 0 */1 * MON") == [every_day[6], every_day[6] + timedelta(days=7)]


def test_fire_times_are_in_utc_and_never_the_start_itself():
    eight_in_berlin = datetime.fromisoformat("2025-06-02T08:00:00+02:00")

    (at,) = first(1, "0 8 * * *", "Europe/Berlin", eight_in_berlin)

    assert at == eight_in_berlin + timedelta(days=1)
    assert at.tzinfo is UTC
    assert first(1, "0 8 * * *", "Europe/Berlin", at - timedelta.resolution) == [at]


def test_a_long_outage_is_made_up_minute_by_minute():
    fire_times = first(100_000, "* * * * *")

    assert fire_times == [NOON + n * MINUTE for n in range(1, 100_001)]


def test_the_day_that_samoa_left_out_is_not_made_up():
    after = datetime.fromisoformat("2011-12-29T23:58:30-10:00")

    assert first(2, "* * * * *", "Pacific/Apia", after) == [
        datetime.fromisoformat("2011-12-29T23:59:00-10:00"),
        datetime.fromisoformat("2011-12-31T00:00:00+14:00"),
    ]
    assert first(1, "0 12 30 12 *", "Pacific/Apia", after) == [
        datetime.fromisoformat("2012-12-30T12:00:00+14:00")
    ]


def test_a_day_that_clocks_go_back_to_is_not_over_at_midnight():
    # Newfoundland put its clocks back from 00:01 to 23:01 of the day before.
    change = datetime(2006, 10, 29, 2, 31, tzinfo=UTC)
    first_pass = [change - n * MINUTE for n in range(61, 1, -1)]
    second_pass = [change + n * MINUTE for n in range(59)]

    for seconds in (0, 30):
        after = change - timedelta(hours=45, seconds=seconds)
        fire_times = first(119, "* 23 28 10 *", "America/St_Johns", after)
        assert fire_times == first_pass + second_pass


def test_a_rare_date_is_found_across_a_century_without_leap_day():
    after = datetime(2089, 1, 1, tzinfo=UTC)

    assert first(1, "0 0 29 2 */7", after=after) == [datetime(2128, 2, 29, tzinfo=UTC)]


@pytest.mark.parametrize("timezone_name", ["UTC", "Pacific/Kiritimati", "America/New_York"])
def test_time_has_an_end_and_a_beginning_but_they_break_nothing(timezone_name):
    earliest = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
    latest = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))

    assert first(1, "* * * * *", timezone_name, earliest)
    assert first(1, "* * * * *", timezone_name, latest) == []
    assert first(1, "0 0 29 2 *", timezone_name, latest - timedelta(days=365)) == []


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+3"])
def test_a_zone_goes_by_its_iana_name(name):
    assert cron.load_zone(name).key == name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("US/Pacfic", "US/Pacific"),
    ],
)
def test_a_misspelt_zone_is_answered_with_those_that_come_near(name, hint):
    with pytest.raises(Invalid) as refused:
        cron.load_zone(name)

    assert (
        f"There is no time zone '{name}'. Did you mean {hint}"
        in refused.value.fields["timezone"][0]
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../UTC",
        "UTC\0",
        "UTC\n",
        "localtime",
        "posixrules",
        "posix/UTC",
        "Factory",
        "right/UTC",
        "Europe",
        "Europe/",
        "tzdata.zi",
        "x" * 1_000_000,
        "\ud800",
    ],
)
def test_what_is_no_iana_name_is_no_zone(name):
    with pytest.raises(Invalid) as refused:
        cron.load_zone(name)

    assert len(refused.value.fields["timezone"][0]) < 200


def notes(expression, after, count, timezone="Europe/Berlin"):
    shown = cron.preview(expression, timezone, after, count)
    return [(f"{each.local:%d %H:%M %z}", each.note) for each in shown]


def test_a_preview_shows_each_fire_time_in_utc_and_on_the_clock_of_the_zone():
    shown = cron.preview("0 8 * * *", "Europe/Berlin", NOON, 2)

    assert [each.at for each in shown] == first(2, "0 8 * * *", "Europe/Berlin")
    assert shown[0].local.isoformat() == "2025-06-03T08:00:00+02:00"
    assert [each.note for each in shown] == [None, None]


def test_a_preview_says_that_a_time_does_not_exist():
    assert notes("30 2 * * *", EVENING_BEFORE_SPRING, 2) == [
        (
            "30 03:00 +0200",
            "02:30 does not exist that night: the clocks go forward from 02:00 to 03:00;"
            " runs at 03:00.",
        ),
        ("31 02:30 +0200", None),
    ]


def test_a_preview_says_that_several_times_become_one():
    assert notes("0,15,30 2,3 * * *", EVENING_BEFORE_SPRING, 2) == [
        (
            "30 03:00 +0200",
            "02:00 to 02:30 do not exist that night: the clocks go forward from 02:00 to 03:00;"
            " runs once, at 03:00.",
        ),
        ("30 03:15 +0200", None),
    ]


def test_a_preview_says_that_a_time_comes_twice():
    once = "02:30 comes twice that night: the clocks go back; runs the first time only."
    both = "02:30 comes twice that night: the clocks go back; runs both times, and this is the"

    assert notes("30 2 * * *", EVENING_BEFORE_AUTUMN, 2) == [
        ("26 02:30 +0200", once),
        ("27 02:30 +0100", None),
    ]
    assert notes("30 */2 * * *", EVENING_BEFORE_AUTUMN, 4) == [
        ("26 00:30 +0200", None),
        ("26 02:30 +0200", f"{both} first."),
        ("26 02:30 +0100", f"{both} second."),
        ("26 04:30 +0100", None),
    ]


def test_a_preview_is_silent_where_a_clock_change_does_nothing():
    assert notes("0 * * * *", EVENING_BEFORE_SPRING + timedelta(hours=3), 3) == [
        ("30 01:00 +0100", None),
        ("30 03:00 +0200", None),
        ("30 04:00 +0200", None),
    ]
    assert notes("0 3 * * *", EVENING_BEFORE_SPRING, 1) == [("30 03:00 +0200", None)]
    assert notes("0 3 * * *", EVENING_BEFORE_AUTUMN, 1) == [("26 03:00 +0100", None)]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 8 * * *", "At 08:00"),
        ("30 17 * * MON-FRI", "At 17:30, Monday through Friday"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("5,* * * * *", "Every minute"),
        ("@weekly", "At 00:00, only on Sunday"),
        ("0 0 * * 7", "At 00:00, only on Sunday"),
        ("0,12 9 * * *", "At 0 and 12 minutes past the hour, at 09:00"),
        ("*/7 1 * * *", "At 0, 7, 14, 21, 28, 35, 42, 49, and 56 minutes past the hour"),
        ("*/65 1 * * *", "At 01:00"),
        ("0 0 29 2 *", "At 00:00, on day 29 of the month, only in February"),
        ("0 0 1 * 1", "At 00:00, on day 1 of the month, or on Monday"),
        ("0 0 1 * 1-5", "At 00:00, on day 1 of the month, or on Monday through Friday"),
        ("0 0 1-7 * */7", "At 00:00, between day 1 and 7 of the month, if it is Sunday"),
        ("0 0 31 2 1", "At 00:00, only on Monday, only in February"),
    ],
)
def test_an_expression_is_described_as_cron_reads_it(expression, words):
    assert cron.describe(expression, "UTC").startswith(words)


def test_a_description_names_the_zone_unless_it_is_utc():
    assert cron.describe("0 8 * * *", "UTC") == "At 08:00"
    assert cron.describe("0 8 * * *", "Asia/Kathmandu") == "At 08:00 (Asia/Kathmandu)"
