"""/queues: what waits and who works, as autoscalers read it."""

from factories import MINUTE, NOON, make_batch, make_run, make_worker

from shared import compute


def test_each_queue_shows_what_waits_and_who_works(viewer):
    compute.create("spot-large", {"max_workers": 20}, now=NOON)
    make_worker(queues=["spot-large"], threads=4)
    batch = make_batch(
        items=11, queue="spot-large", compute_id="spot-large", accepted_at=NOON - 1.5 * MINUTE
    )
    make_run()

    response = viewer.get("/queues")

    assert response.status_code == 200
    runs, local, large = response.json["content"]
    assert large == {
        "name": "spot-large",
        "compute": "spot-large",
        "depth": 11,
        "oldestAgeSeconds": 90.0,
        "running": 0,
        "workers": 1,
        "workerThreads": 4,
        "wantedWorkers": 3,
        "maxWorkers": 20,
    }
    assert (runs["name"], runs["compute"], runs["depth"], runs["maxWorkers"]) == (
        ("runs", None, 1, None)
    )
    assert (local["name"], local["depth"], local["oldestAgeSeconds"]) == ("local", 0, 0)
    assert viewer.get(f"/queues/{batch.queue}").json == large


def test_while_nobody_works_workers_are_taken_for_as_large_as_by_default(viewer, settings):
    make_batch(items=settings.worker_threads + 1)

    assert viewer.get("/queues/local").json["wantedWorkers"] == 2


def test_what_is_no_queue_is_not_found(viewer):
    response = viewer.get("/queues/nowhere")

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert response.json["detail"] == "There is no queue nowhere."


def test_whoever_reads_them_has_a_token(anyone):
    assert anyone.get("/queues").status_code == 401
    assert anyone.get("/queues/runs").status_code == 401
