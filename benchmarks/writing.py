"""`python -m benchmarks.writing`: commits at a steady rate, as scheduler and workers do all day."""

import time

from shared import db, settings

COMMITS_A_SECOND = 50


def main() -> None:
    """Rewrite one run after the other, until killed."""
    db.connect(settings.load().database_url)
    with db.connection():
        ids = [
            db.uuid_hex(row[0]) for row in db.execute("SELECT id FROM run LIMIT 1000").fetchall()
        ]
    while True:
        for run_id in ids:
            with db.transaction():
                db.execute("UPDATE run SET content = content WHERE id = :id", {"id": run_id})
            time.sleep(1 / COMMITS_A_SECOND)


if __name__ == "__main__":
    main()
