"""The table of moves."""

from shared.states import ACTIVE, ENDED, MOVES, Role, RunStatus


def test_an_ended_run_has_no_moves_and_every_other_can_end():
    assert {status.value for status in ENDED} == {
        *("COMPLETED", "FAILED", "CANCELLED", "SKIPPED", "MISSED")
    }
    assert all(MOVES[status] & ENDED for status in ACTIVE)


def test_every_move_leads_to_a_status_and_none_to_itself():
    for status, moves in MOVES.items():
        assert moves <= set(RunStatus)
        assert status not in moves


def test_a_role_may_do_what_the_ones_before_it_may():
    assert Role.ADMIN.includes(Role.VIEWER)
    assert Role.OPERATOR.includes(Role.OPERATOR)
    assert not Role.VIEWER.includes(Role.OPERATOR)
