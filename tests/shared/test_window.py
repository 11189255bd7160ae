"""How many messages may wait in Redis: few where runs are slow, many where they are quick."""

from shared.window import Window


def look(window, *, waiting, free_threads=0, behind=1000):
    """A look with so many runs *behind*; how many of them are sent."""
    room = window.room(waiting=waiting, free_threads=free_threads)
    sent = min(room, behind)
    window.looked(waiting=waiting, full=sent >= room)
    return sent


def test_there_is_room_for_as_many_as_there_are_free_threads():
    assert look(Window(100), waiting=0, free_threads=16) == 16


def test_what_waits_already_takes_its_room():
    assert look(Window(100), waiting=10, free_threads=16) == 6
    assert look(Window(100), waiting=20, free_threads=16) == 0


def test_while_runs_are_quick_more_are_sent_each_time():
    window = Window(100)

    sent = [look(window, waiting=0) for _ in range(8)]

    assert sent == [2, 2, 4, 8, 16, 32, 64, 100]


def test_while_runs_are_slow_few_wait():
    window = Window(100)
    for _ in range(8):
        look(window, waiting=0)

    for _ in range(8):
        look(window, waiting=90)

    assert look(window, waiting=0) == 2


def test_what_is_left_of_a_room_that_was_just_widened_does_not_narrow_it():
    window = Window(100)
    for _ in range(6):
        look(window, waiting=0)
    assert window.starved

    look(window, waiting=60)

    assert look(window, waiting=0) == 64


def test_what_was_learned_is_forgotten_once_nothing_is_left_behind():
    window = Window(100)
    for _ in range(8):
        look(window, waiting=0)

    for _ in range(8):
        look(window, waiting=0, behind=0)

    assert look(window, waiting=0) == 2


def test_it_never_grows_beyond_its_bound():
    window = Window(1)

    assert [look(window, waiting=0, free_threads=50) for _ in range(3)] == [1, 1, 1]
