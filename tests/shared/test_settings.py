"""Settings: what a deployment writes, and the sentence it gets for a mistake."""

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.settings import Settings, load, variable

ENV_EXAMPLE = Path(__file__).parents[2] / ".env.example"
MAPPINGS = {"agent_environment", "secrets"}


def test_an_empty_environment_gives_the_defaults():
    loaded = load({})

    assert loaded == Settings()


def test_an_empty_variable_counts_as_not_set():
    loaded = load({"PORT": "", "REDIS_URL": ""})

    assert loaded == Settings()


def test_each_setting_is_read_as_what_it_is():
    environ = {
        "DATABASE_URL": "postgres://user:secret@db/agents",
        "REDIS_URL": "rediss://:secret@redis:6380/1",
        "PORT": "80",
        "AGENT_MANAGER_HOST": "0.0.0.0",
        "AGENT_MANAGER_RUN_LEASE": "60.5",
        "AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES": "yes",
        "AGENT_MANAGER_WORKER_THREADS": "16",
    }

    loaded = load(environ)

    assert loaded.database_url == "postgres://user:secret@db/agents"
    assert loaded.redis_url == "rediss://:secret@redis:6380/1"
    assert (loaded.host, loaded.port, loaded.worker_threads) == ("0.0.0.0", 80, 16)
    assert loaded.run_lease == timedelta(seconds=60.5)
    assert loaded.allow_private_addresses is True


def test_variables_of_other_programs_are_none_of_our_business():
    loaded = load({"DATABASE_POOL": "9", "PATH": "/bin", "MANAGER": "x"})

    assert loaded == Settings(agent_environment={"PATH": "/bin"})


def test_agents_see_only_the_listed_part_of_the_environment():
    environ = {
        "PATH": "/bin",
        "AWS_SECRET": "hush",
        "MODEL": "small",
        "AGENT_MANAGER_AGENT_ENVIRONMENT": "MODEL, ABSENT",
    }

    loaded = load(environ)

    assert loaded.agent_environment == {"PATH": "/bin", "MODEL": "small"}


def test_secrets_are_read_by_their_names_and_never_shown():
    loaded = load({"AGENT_MANAGER_SECRET_CRM": "hush", "AGENT_MANAGER_ADMIN_TOKEN": "h" * 20})

    assert loaded.secrets == {"CRM": "hush"}
    assert "hush" not in repr(loaded)
    assert "h" * 20 not in repr(loaded)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://db/agents"),
        ("DATABASE_URL", "agents.db"),
        ("DATABASE_URL", "postgres://[db/agents"),
        ("REDIS_URL", "http://redis"),
        ("REDIS_URL", "redis://["),
        ("REDIS_URL", "unix://data/valkey.sock"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("AGENT_MANAGER_WORKER_THREADS", "0"),
        ("AGENT_MANAGER_WORKER_THREADS", "many"),
        ("AGENT_MANAGER_DATABASE_CONNECTIONS", "-1"),
        ("AGENT_MANAGER_DISPATCH_WINDOW", "0"),
        ("AGENT_MANAGER_TICK_BATCH", "100001"),
        ("AGENT_MANAGER_BODY_LIMIT", "10"),
        ("AGENT_MANAGER_OUTPUT_LIMIT", "1e9"),
        ("AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES", "maybe"),
        ("AGENT_MANAGER_LOG_LEVEL", "LOUD"),
        ("AGENT_MANAGER_ADMIN_TOKEN", "short"),
        ("AGENT_MANAGER_REAP_INTERVAL", "0"),
        ("AGENT_MANAGER_DISPATCH_INTERVAL", "soon"),
        ("AGENT_MANAGER_RESEND_AFTER", "nan"),
        ("AGENT_MANAGER_SHUTDOWN_GRACE", "inf"),
        ("AGENT_MANAGER_SHUTDOWN_GRACE", "-1"),
        ("AGENT_MANAGER_WORKER_THREAD", "8"),
    ],
)
def test_a_wrong_setting_is_a_sentence_that_names_it(name, value):
    with pytest.raises(SettingsError) as raised:
        load({name: value})

    sentence = str(raised.value)
    assert name in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    "environ",
    [
        {"AGENT_MANAGER_HEARTBEAT_INTERVAL": "20"},
        {"AGENT_MANAGER_RUN_LEASE": "15"},
        {"AGENT_MANAGER_RUN_LEASE": "1", "AGENT_MANAGER_HEARTBEAT_INTERVAL": "0.2"},
    ],
)
def test_settings_that_contradict_each_other_are_a_sentence(environ):
    with pytest.raises(SettingsError, match=r"AGENT_MANAGER_RUN_LEASE.*\."):
        load(environ)


def test_a_wrong_secret_is_not_repeated_to_whoever_reads_the_log():
    with pytest.raises(SettingsError) as raised:
        load({"DATABASE_URL": "mysql://user:hush@db/agents", "REDIS_URL": "http://:hush@redis"})

    assert "hush" not in str(raised.value)


def test_the_example_names_every_setting_with_its_default():
    lines = ENV_EXAMPLE.read_text().splitlines()
    written = dict(line.removeprefix("# ").split("=", 1) for line in lines if "=" in line)

    settings = {
        variable(each.name) for each in dataclasses.fields(Settings) if each.name not in MAPPINGS
    }

    assert settings | {"AGENT_MANAGER_AGENT_ENVIRONMENT"} == written.keys()
    assert load(written) == Settings()


def test_the_example_sets_nothing_by_itself():
    lines = ENV_EXAMPLE.read_text().splitlines()

    assert all(line.startswith("#") or not line.strip() for line in lines)


def test_a_secret_may_be_in_a_file(tmp_path):
    file = tmp_path / "crm"
    file.write_text("of two\nlines\n")

    settings = load({"AGENT_MANAGER_SECRET_CRM_FILE": str(file), "AGENT_MANAGER_SECRET_B": "b"})

    assert settings.secrets == {"CRM": "of two\nlines", "B": "b"}


@pytest.mark.parametrize("value", ["hush-hush", "hush\0hush"])
def test_a_secret_where_a_file_should_be_named_is_not_repeated(value):
    with pytest.raises(SettingsError, match="SECRET_CRM_FILE: its file cannot be read") as refused:
        load({"AGENT_MANAGER_SECRET_CRM_FILE": value})

    assert "hush" not in str(refused.value)
