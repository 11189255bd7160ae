"""What tests ask of the system by its API is what the checker takes it for."""

from datetime import timedelta

import pytest
from orders import Refused

from shared import clock


def test_orders_by_the_api_are_remembered_as_it_took_them(system, outside, orders, checked):
    agent = outside.agent()
    system.start_all("web", "scheduler", "worker")

    orders.one_time(2, agent, by_api=True, overlap_policy="ALLOW")
    (changed,) = orders.one_time(1, agent, at=clock.now() + timedelta(hours=1), by_api=True)
    orders.change(changed, by_api=True, run_at=clock.now() + timedelta(seconds=1))
    (deleted,) = orders.minutely(1, agent, by_api=True)
    orders.delete(deleted, by_api=True)
    orders.trigger(changed)
    cancelled = orders.run(outside.agent(seconds=60), by_api=True)
    orders.cancel(cancelled, by_api=True)
    orders.run(agent, by_api=True, max_attempts=1, message="Now", priority=9)

    snapshot = checked()
    assert sorted(run["status"] for run in snapshot.runs.values()) == [
        "CANCELLED",
        *["COMPLETED"] * 5,
    ]


def test_what_the_api_refuses_is_no_order(system, outside, orders):
    system.start("web")

    with pytest.raises(Refused, match="422"):
        orders.schedule(outside.agent(), by_api=True, cron_expression="never")

    assert orders.list == []


def test_an_edit_without_an_answer_may_have_been_made(system, outside, orders, checked):
    agent = outside.agent()
    (schedule,) = orders.one_time(1, agent, at=clock.now() + timedelta(hours=1))
    web = system.start("web", "api.after_commit=kill")
    soon = clock.now() + timedelta(seconds=3)
    with pytest.raises(OSError, match=r"closed|reset|reply|broke off"):
        orders.change(schedule, by_api=True, run_at=soon)
    system.wait_for_death(web)

    system.start_all()
    system.wait_for_runs(1)

    checked()
    (order,) = orders.list
    assert soon in order.possible(clock.now())
    assert order.certain(clock.now()) == set()


def test_a_run_without_an_answer_is_asked_for_again(system, outside, orders, checked):
    agent = outside.agent()
    web = system.start("web", "api.after_commit=kill")
    with pytest.raises(OSError, match=r"closed|reset|reply|broke off"):
        orders.run(agent, by_api=True, key="mine")
    system.wait_for_death(web)
    system.start_all("web", "scheduler", "worker")

    orders.run(agent, by_api=True, key="mine")

    checked()
    assert len(outside.lines("began")) == 1
