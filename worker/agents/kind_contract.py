"""What a kind of agent must be, before one of it is run: the first half of its contract."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError

from shared.kinds import GROUP, flatten
from worker.agents.protocol import Agent

IMPORTING = (sys.executable, "-P", str(Path(__file__).with_name("importing.py")))
# It is slower than usual while its memory is traced.
IMPORT_SECONDS = 60
MOST_MODULES = 100
MOST_MEMORY = 8 * 1024 * 1024
# Nothing that comes as JSON may lead to more than a `ValidationError`.
HOSTILE: tuple[object, ...] = (
    *(None, True, -1, 10**400, 1e308, float("nan"), "", "\0", "\ud800", "x" * 100_000),
    *([], [None], [[]], {}, {"": None}, {"x": {"x": []}}),
)


class Broken(AssertionError):
    """The kind does not keep a promise; the text says which, and what to mend."""


class KindContract:
    """The promises of one kind about itself and its configurations."""

    #: The name in the entry-point group.
    kind: str
    #: A configuration with which a run succeeds, and soon. It may name `${secret:CONTRACT}`.
    config: Mapping[str, Any]
    #: For every option a value that must be refused.
    refused: Mapping[str, Any]

    def test_one_entry_point_leads_to_it(self) -> None:
        """The entry point names a class that has all that is asked of a kind."""
        agent = self._class()
        missing = [
            name for name in ("config_schema", "admin_only", "run") if not hasattr(agent, name)
        ]
        if missing:
            raise Broken(f"{agent!r} has no {' and no '.join(missing)}.")

    def test_importing_it_is_cheap(self) -> None:
        """Its module can be imported by the API: without the network, and without much else."""
        module = self._entry_point().module
        try:
            child = subprocess.run(  # noqa: S603 - our own program
                IMPORTING,
                input=json.dumps({"module": module, "path": sys.path}),
                capture_output=True,
                text=True,
                timeout=IMPORT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Broken(f"Importing {module} takes more than {IMPORT_SECONDS} seconds.") from None
        if child.returncode != 0:
            says = (child.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise Broken(f"{module} cannot be imported in a process of its own: {says}")
        found = json.loads(child.stdout.splitlines()[-1])
        if found["does"]:
            raise Broken(
                f"Importing {module} {' and '.join(found['does'])}. The API imports it to validate"
                " configurations: do that inside `run`."
            )
        modules, memory = found["modules"], found["memory"]
        if len(modules) > MOST_MODULES or memory > MOST_MEMORY:
            packages = sorted({name.partition(".")[0] for name in modules})
            raise Broken(
                f"Importing {module} brings {len(modules)} modules and {memory / 2**20:.1f} MiB,"
                f" where {MOST_MODULES} and {MOST_MEMORY / 2**20:g} MiB are the most. Import what"
                f" is heavy inside `run`; it brings {', '.join(packages)}."
            )

    def test_its_schema_takes_its_configuration(self) -> None:
        """`config_schema` loads the configuration, and leaves it as it was."""
        given = json.loads(json.dumps(self.config))
        self._load(given)
        if given != self.config:
            raise Broken("config_schema changes the configuration it is given: make a copy of it.")

    def test_an_unknown_option_is_refused(self) -> None:
        """An option that there is not is refused with the names of those there are."""
        schema = self._schema()
        try:
            schema.load({**self.config, "noSuchOption": 1})
        except ValidationError as error:
            says = " ".join(flatten(error.messages_dict.get("noSuchOption", [])))
            if unnamed := [name for name in _options(schema) if name not in says]:
                raise Broken(
                    f"The message for an unknown option says {says!r}, and does not name"
                    f" {', '.join(unnamed)}: make config_schema a `worker.agents.config"
                    ".ConfigSchema`."
                ) from None
        else:
            raise Broken(
                "config_schema takes an option that there is not, noSuchOption: a typing error"
                " would pass unseen. Make it a `worker.agents.config.ConfigSchema`."
            )

    def test_each_option_refuses_what_it_cannot_use(self) -> None:
        """A bad value is refused with a message for its own option."""
        schema = self._schema()
        if untried := sorted(set(_options(schema)) - self.refused.keys()):
            raise Broken(f"Give in `refused` a bad value for {', '.join(untried)} too.")
        for option, value in self.refused.items():
            try:
                schema.load({**self.config, option: value})
            except ValidationError as error:
                if not any(flatten(error.messages_dict.get(option, []))):
                    raise Broken(
                        f"{option} is refused with {error.messages_dict}: give a message under"
                        f" {option}, so that the API can name the field."
                    ) from None
            else:
                raise Broken(f"config_schema takes {value!r} for {option}: add a `validate`.")

    def test_no_configuration_is_an_accident(self) -> None:
        """Whatever an option holds, it is refused, or is a configuration to make an agent of."""
        schema = self._schema()
        for option in _options(schema):
            for value in HOSTILE:
                shown = f"{option}: {str(value)[:40]!r}"
                try:
                    loaded = schema.load({**self.config, option: value})
                except ValidationError:
                    continue
                except Exception as error:
                    raise Broken(
                        f"config_schema raises {error!r} for {shown}, which the API answers with"
                        " a 500: raise `ValidationError`."
                    ) from error
                try:
                    self._class()(loaded)
                except Exception as error:
                    raise Broken(
                        f"The schema takes {shown}, and then `__init__` raises {error!r}: refuse"
                        " it in the schema."
                    ) from error

    def test_admin_only_is_a_bool(self) -> None:
        """Whether only admins may make such agents is said by a bool."""
        says = self._class().admin_only
        if not isinstance(says, bool):
            raise Broken(f"admin_only is {says!r}: say True or False.")

    def _entry_point(self) -> EntryPoint:
        found = list(entry_points(group=GROUP, name=self.kind))
        if len(found) == 1:
            return found[0]
        if found:
            values = " and ".join(each.value for each in found)
            raise Broken(f"{self.kind} is the name of {values}: choose one that is not taken.")
        names = ", ".join(sorted(entry_points(group=GROUP).names))
        raise Broken(
            f"The entry-point group {GROUP} has no {self.kind}, only {names}: name the class in"
            " pyproject.toml, and install the package."
        )

    def _class(self) -> type[Agent]:
        entry = self._entry_point()
        try:
            loaded = entry.load()
        except Exception as error:
            raise Broken(f"{entry.value} cannot be loaded: {error!r}.") from error
        if not isinstance(loaded, type):
            raise Broken(f"{entry.value} is {loaded!r}: name a class.")
        return loaded

    def _schema(self) -> Schema:
        schema = self._class().config_schema
        if not isinstance(schema, type) or not issubclass(schema, Schema):
            raise Broken(f"config_schema is {schema!r}: name a class of marshmallow's `Schema`.")
        return schema()

    def _load(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            loaded: Mapping[str, Any] = self._schema().load(config)
        except ValidationError as error:
            raise Broken(f"config_schema refuses {config}: {error.messages}.") from None
        return loaded


def _options(schema: Schema) -> list[str]:
    """The names of its options, as they are on the wire."""
    return [field.data_key or name for name, field in schema.load_fields.items()]
