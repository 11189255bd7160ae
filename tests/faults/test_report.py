"""The report at the end of `make faults`."""

from report import lines

NODE = "tests/faults/test_worker_killed.py::test_a_run_is_made_again"


def test_the_report_has_a_line_for_each_scenario_and_database():
    seen = [
        ("passed", f"{NODE}[sqlite-worker.after_claim-time1]", 2.0),
        ("passed", f"{NODE}[sqlite-worker.after_claim-time2]", 4.0),
        ("passed", f"{NODE}[postgres-worker.after_claim-time1]", 1.0),
        ("failed", f"{NODE}[postgres-worker.after_claim-time2]", 1.0),
        ("error", "tests/faults/test_disk_full.py::test_it_is_told", 1.0),
        ("passed", "tests/worker/test_runner.py::test_another", 1.0),
    ]

    assert lines(seen) == [
        "",
        "Disk full",
        f"  it is told {' ' * 43}passed 0, FAILED 1  ",
        "",
        "Worker killed",
        "  a run is made again (worker.after_claim)  PostgreSQL  passed 1, FAILED 1  1.0 s",
        "  a run is made again (worker.after_claim)  SQLite      passed 2  3.0 s, at most 4.0 s",
        "",
        "2 scenarios: passed 3 times, failed 2 times.",
    ]
