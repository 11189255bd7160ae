"""Whose turn it is: priority, fair shares, places, and nobody starved."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shared.turns import SHARED_PLACE, Line, Turns


def line(agent, *since, priority=5):
    """A line of runs that could go since those instants, named for agent and instant."""
    return Line(agent, priority, [(at, f"{agent}{at}") for at in since])


def choose(*lines, room=100, under_way=None, places=None, turns=None):
    return (turns or Turns()).choose(lines, room, under_way=under_way or {}, places=places or {})


def test_in_one_line_who_came_first_goes_first():
    assert choose(line("a", 1, 2, 3)) == ["a1", "a2", "a3"]


def test_there_go_as_many_as_there_is_room_for():
    assert choose(line("a", 1, 2, 3), room=2) == ["a1", "a2"]


def test_a_higher_priority_goes_first_whoever_came_first():
    assert choose(line("a", 1, 2), line("b", 8, 9, priority=6)) == ["b8", "b9", "a1", "a2"]


def test_nobody_waits_behind_another_agent_s_long_queue():
    long = line("a", *range(100))

    chosen = choose(long, line("b", 500), line("c", 501), room=3)

    assert sorted(chosen) == ["a0", "b500", "c501"]


def test_the_agent_with_the_fewest_runs_under_way_goes_first():
    chosen = choose(line("a", 1, 2, 3), line("b", 4, 5, 6), under_way={"a": 2}, room=4)

    assert chosen == ["b4", "b5", "a1", "b6"]


def test_an_agent_that_comes_late_waits_behind_no_number_of_long_queues():
    queues = [line(agent, *range(100)) for agent in "abc"]
    turns = Turns()
    # Each time one of them has ended: the agent has none under way, as the one that comes late.
    for ended in "abcabc":
        choose(*queues, room=1, under_way=Counter("abc") - Counter(ended), turns=turns)

    chosen = choose(*queues, line("d", 500), room=1, under_way=Counter("bc"), turns=turns)

    assert chosen == ["d500"]


def test_agents_with_as_many_runs_under_way_take_turns():
    queues = [line(agent, *range(100)) for agent in "abc"]
    turns = Turns()

    chosen = [choose(*queues, room=1, under_way=Counter("abc"), turns=turns) for _ in range(6)]

    assert [names[0][0] for names in chosen] == list("abcabc")


def test_every_tenth_place_is_given_without_regard_to_priority():
    urgent, patient = line("a", *range(100), priority=9), line("b", *range(200, 300), priority=0)

    chosen = choose(urgent, patient, room=30)

    shares = Counter(name[0] for name in chosen)
    assert shares == {"a": 27, "b": 3}
    assert chosen[SHARED_PLACE - 1] == "b200"


def test_the_places_given_before_count_towards_the_tenth():
    urgent, patient = line("a", *range(10), priority=9), line("b", 20, priority=0)
    turns = Turns()
    choose(line("a", *range(50, 100)), room=SHARED_PLACE - 1, turns=turns)

    chosen = choose(urgent, patient, room=1, under_way={"a": 1}, turns=turns)

    assert chosen == ["b20"]


def test_an_agent_gets_no_more_places_than_it_has():
    chosen = choose(
        line("a", 1, 2, 3),
        line("a", 4, priority=9),
        line("b", 5),
        places={"a": 2},
        under_way={"a": 1},
    )

    assert chosen == ["a4", "b5", "a1"]


def test_a_run_goes_only_where_its_owner_and_its_hosts_all_have_a_place():
    batches = [
        Line(batch, 5, [(at, f"{batch}{at}") for at in range(9)], hosts=(agent,))
        for batch, agent in (("b", "x"), ("c", "x"), ("d", "y"))
    ]

    chosen = choose(*batches, places={"b": 1, "x": 3, "y": 2})

    assert Counter(name[0] for name in chosen) == {"b": 1, "c": 2, "d": 2}


LINES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.lists(st.integers(0, 50), max_size=12)),
    max_size=8,
    unique_by=lambda each: each[:2],
)


@given(LINES, st.integers(0, 40), st.dictionaries(st.sampled_from("abc"), st.integers(1, 6)))
def test_no_place_stays_free_and_none_is_given_twice(drawn, room, places):
    lines = [
        Line(agent, priority, [(at, f"{agent}.{priority}.{n}") for n, at in enumerate(sorted(ats))])
        for agent, priority, ats in drawn
    ]

    chosen = Turns().choose(lines, room, under_way={}, places=places)

    waiting = Counter()
    for each in lines:
        waiting[each.owner] += len(each.runs)
    could_go = sum(min(count, places.get(owner, count)) for owner, count in waiting.items())
    taken = Counter(name[0] for name in chosen)
    assert len(chosen) == len(set(chosen)) == min(room, could_go)
    assert all(taken[owner] <= limit for owner, limit in places.items())
