"""`agent-manager compute`: profiles from a file that operators keep."""

import pytest
from click.testing import CliRunner

from cli.main import main
from shared import db
from shared.batches.models import ComputeProfile
from shared.models import AuditEvent

FILE = """
[spot-large]
instanceType = "m7i.large"
spot = true
pricePerHour = 0.042
maxWorkers = 20

[local]
region = "the cellar"
"""


@pytest.fixture
def compute(database_url, tmp_path):
    """Call the command with the words; what it said, and its exit code."""
    file = tmp_path / "compute.toml"

    def call(*words, content=None):
        if content is not None:
            file.write_text(content)
            words = (*words, str(file))
        done = CliRunner().invoke(main, ["compute", *words], env={"DATABASE_URL": database_url})
        return done.exit_code, done.output

    return call


@pytest.fixture
def profiles(database_url):
    """The profiles that there are, and how many changes of theirs are on record."""

    def read():
        database = db.connect(database_url)
        with db.connection():
            found = {each.id: each for each in ComputeProfile.select()}
            changes = AuditEvent.select().where(AuditEvent.actor == "cli").count()
        database.close()
        if not db.is_sqlite():
            database.close_all()
        db.proxy.obj = None
        return found, changes

    return read


def test_a_file_is_applied(compute, profiles):
    code, said = compute("apply", content=FILE)

    assert (code, said) == (0, "spot-large: made\nlocal: region unset → the cellar\n")
    made, _ = profiles()
    assert made["spot-large"].queue == "spot-large"
    assert (made["spot-large"].spot, made["spot-large"].max_workers) == (True, 20)
    assert made["local"].region == "the cellar"


def test_applying_it_again_changes_nothing(compute, profiles):
    compute("apply", content=FILE)

    assert compute("apply", content=FILE) == (0, "spot-large: unchanged\nlocal: unchanged\n")
    assert profiles()[0]["spot-large"].version == 1


def test_what_it_changes_is_said_and_on_record(compute, profiles):
    compute("apply", content=FILE)

    _, said = compute("apply", content=FILE.replace("0.042", "0.05"))

    assert said.startswith("spot-large: pricePerHour 0.042 → 0.05\n")
    assert profiles()[1] == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[spot", "is not TOML"),
        ("", "names no compute profile"),
        ("[Spot]", "Spot: Give 1 to 64 small letters"),
        ("[spot]\nprice = 1", "spot: price: There is no such field."),
        ("[spot]\npricePerHour = -1", "spot: pricePerHour: Give a number from 0"),
        ("[spot]\npricePerHour = nan", "spot: pricePerHour"),
        ("[spot]\nqueue = 'runs'", "'runs' is the queue of schedules"),
        ("spot = 3", "spot: A profile is a table; write it as [its-id]."),
    ],
)
def test_a_mistake_is_said_and_nothing_is_done(compute, profiles, content, says):
    sound = "[sound]\n" if content.startswith("[") else ""

    code, said = compute("apply", content=sound + content)

    assert code == 1
    assert says in said
    assert "sound" not in profiles()[0]


def test_all_mistakes_are_said_at_once(compute):
    _, said = compute("apply", content="[a]\nspot = 1\n[b]\nvcpu = 'two'\nregion = 3")

    assert [line.strip().split(":")[0] for line in said.splitlines()[1:]] == ["a", "b", "b"]


def test_they_are_listed(compute):
    compute("apply", content=FILE)

    assert compute("list") == (
        0,
        "local: queue local, the cellar, 0 USD an hour\n"
        "spot-large: queue spot-large, m7i.large, spot, 0.042 USD an hour,"
        " at most 20 workers\n",
    )
