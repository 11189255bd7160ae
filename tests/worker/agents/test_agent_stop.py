import select

from worker.agents.stop import Stop, StopReason


def test_the_first_reason_stays():
    stop = Stop()

    stop.set(StopReason.TIMEOUT)
    stop.set(StopReason.CANCELLED)

    assert stop.reason is StopReason.TIMEOUT


def test_who_waits_is_told_at_once_that_it_must_stop():
    stop = Stop()
    stop.set(StopReason.CANCELLED)

    assert stop.wait(60)


def test_a_listener_is_called_when_the_flag_is_set():
    stop, calls = Stop(), []

    with stop.calling(lambda: calls.append("called")):
        assert calls == []
        stop.set(StopReason.DRAINED)

    assert calls == ["called"]


def test_a_listener_that_comes_too_late_is_called_too():
    stop, calls = Stop(), []
    stop.set(StopReason.DRAINED)

    with stop.calling(lambda: calls.append("called")):
        pass

    assert calls == ["called"]


def test_a_listener_is_forgotten_after_its_block():
    stop, calls = Stop(), []

    with stop.calling(lambda: calls.append("called")):
        pass
    stop.set(StopReason.LOST)

    assert calls == []


def test_a_select_wakes_up_when_the_flag_is_set():
    stop = Stop()

    with stop.readable() as socket:
        before = select.select([socket], [], [], 0)[0]
        stop.set(StopReason.CANCELLED)
        after = select.select([socket], [], [], 5)[0]

    assert (before, after) == ([], [socket])
