"""What a kind of agent must do, as tests that its author runs.

    class TestFeed(AgentContract):
        kind = "feed"
        config = {"url": "https://example.com/feed.xml"}
        refused = {"url": "example.com", "mostEntries": 0}

Each method is one promise; what it raises is a sentence that tells what to mend. pytest finds them
in a subclass whose name begins with `Test`, unittest in one that is a `TestCase` as well.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from unittest import SkipTest

from shared.states import ErrorCode
from worker.agents.kind_contract import Broken, KindContract
from worker.agents.output import storable
from worker.agents.protocol import (
    LONGEST_EVENT_TYPE,
    MOST_EVENTS,
    AgentError,
    Finding,
    Result,
    Stopped,
)
from worker.agents.stop import StopReason
from worker.agents.trial import Trial, make_context

SMALL_OUTPUT = 256
# For the marks where something was cut.
MARKS = 128


class AgentContract(KindContract):
    """The promises of one kind. A subclass names it, and gives what it is to be tried with."""

    #: A configuration with which a run lasts until it is stopped; None if no run lasts.
    slow_config: Mapping[str, Any] | None = None
    #: A configuration with which a run fails; None if none ever does.
    failing_config: Mapping[str, Any] | None = None
    message: str = "What is new?"
    #: What `${secret:NAME}` stands for.
    secrets: Mapping[str, str] = {"CONTRACT": "an-open-sesame-of-the-contract"}
    #: The seconds that a run may take that is not slow, and one that was told to stop.
    patience: float = 60.0
    soon: float = 5.0

    def under_way(self, trial: Trial, seconds: float) -> None:
        """Wait until a slow run is in the middle of its work, *seconds* at most.

        That is, unless you know better, when it has looked at `context.stop` for the first time.
        """
        trial.stop.looked_at.wait(seconds)

    def test_a_run_returns_a_result(self) -> None:
        """What a run returns, and what it reports, can be recorded."""
        trial = self._try(self.config)
        _check_result(self._returned(trial))
        _check_events(trial.events)

    def test_its_output_is_bounded(self) -> None:
        """A content is about as long as `context.output_limit` allows, and no longer."""
        trial = self._try(self.config, message=self.message * 1000, output_limit=SMALL_OUTPUT)
        size = len(self._returned(trial).content.encode(errors="replace"))
        if size > SMALL_OUTPUT + MARKS:
            raise Broken(
                f"With an output_limit of {SMALL_OUTPUT} the content has {size:,} bytes: put it"
                " through `worker.agents.output.cap`, and read no more than you need."
            )

    def test_a_stop_before_a_run_ends_it(self) -> None:
        """A run that is to stop already ends at once."""
        for config in (self.config, self.slow_config):
            if config is not None:
                self._stopped(self._try(config, stopped=True), "before the run")

    def test_a_stop_in_the_middle_of_a_run_ends_it(self) -> None:
        """A run ends soon after it is told to stop."""
        trial = self._slow()
        self.under_way(trial, self.soon)
        if trial.outcome(0) is not None:
            raise Broken("With `slow_config` a run ends by itself: give one that lasts.")
        trial.stop.set(StopReason.CANCELLED)
        self._stopped(trial, "in its middle")

    def test_two_runs_can_go_on_at_once(self) -> None:
        """A worker runs an agent in many threads; none waits for another."""
        first = self._try(self.config if self.slow_config is None else self.slow_config)
        if self.slow_config is not None:
            self.under_way(first, self.soon)
        try:
            self._returned(self._try(self.config), "while another of its kind goes on")
        finally:
            first.stop.set(StopReason.CANCELLED)
        self._stopped(first, "in its middle")

    def test_a_failure_is_an_agent_error(self) -> None:
        """A failure has a sentence for people, a code, and says whether another try may help."""
        error = self._failing().outcome(self.patience)
        if not isinstance(error, AgentError):
            raise Broken(
                f"With `failing_config` a run gives {error!r}: raise `AgentError` with a sentence"
                " that says why, `retryable=True` if another try may help."
            )
        if not str(error).strip():
            raise Broken("The AgentError has no text: say what failed.")
        if not isinstance(error.retryable, bool) or not isinstance(error.code, ErrorCode):
            raise Broken(
                f"The AgentError says retryable={error.retryable!r}, code={error.code!r}: give a"
                " bool and an ErrorCode."
            )

    def test_no_secret_shows(self) -> None:
        """Neither an answer nor an error nor an event holds a secret of the worker's."""
        trials = [self._try(self.config)]
        if self.failing_config is not None:
            trials.append(self._failing())
        for trial in trials:
            outcome = trial.outcome(self.patience)
            if isinstance(outcome, Result):
                places = {"content": outcome.content, "metadata": repr(outcome.metadata)}
            else:
                places = {"error": repr(outcome)}
            for place, text in {**places, "events": repr(trial.events)}.items():
                if shown := [name for name, secret in self.secrets.items() if secret in text]:
                    raise Broken(
                        f"The secret {shown[0]} shows in the {place} of a run: put texts through"
                        " `worker.agents.placeholders.redact`."
                    )

    def test_a_check_returns_findings(self) -> None:
        """What a check returns is what it has found, if the kind has one."""
        agent: Any = self._class()(self._load(self.config))
        if not hasattr(agent, "check"):
            return  # A kind need not have one.
        found = agent.check(make_context(secrets=self.secrets))
        if not isinstance(found, list) or not all(isinstance(each, Finding) for each in found):
            raise Broken(f"A check returns {found!r}: return a list of `Finding`.")

    def _try(
        self,
        config: Mapping[str, Any],
        *,
        message: str | None = None,
        stopped: bool = False,
        **changes: Any,
    ) -> Trial:
        agent = self._class()(self._load(config))
        given = {"secrets": self.secrets, **changes}
        return Trial(agent, message or self.message, stopped=stopped, **given)

    def _slow(self) -> Trial:
        if self.slow_config is None:
            raise SkipTest("No `slow_config` is given.")
        return self._try(self.slow_config)

    def _failing(self) -> Trial:
        if self.failing_config is None:
            raise SkipTest("No `failing_config` is given.")
        return self._try(self.failing_config)

    def _returned(self, trial: Trial, when: str = "") -> Result:
        outcome = trial.outcome(self.patience)
        if isinstance(outcome, Result):
            return outcome
        with_what = f"With `config` a run{when and ' '}{when}"
        if outcome is None:
            raise Broken(f"{with_what} has not ended after {self.patience:g} seconds.")
        if isinstance(outcome, BaseException):
            raise Broken(f"{with_what} raises {outcome!r}.") from outcome
        raise Broken(f"{with_what} returns {outcome!r}: return a `Result`.")

    def _stopped(self, trial: Trial, when: str) -> None:
        outcome = trial.outcome(self.soon)
        if outcome is None:
            raise Broken(
                f"A run goes on for {self.soon:g} seconds after it was told {when} to stop: wait"
                " with `context.stop.wait`, and have `context.stop.calling` cut off whatever else"
                " waits."
            )
        if not isinstance(outcome, Result | Stopped):
            raise Broken(f"A run that is told {when} to stop gives {outcome!r}: raise `Stopped`.")


def _check_result(result: Result) -> None:
    if not isinstance(result.content, str):
        raise Broken(f"The content is {type(result.content).__name__}: give a text.")
    if result.model is not None and not isinstance(result.model, str):
        raise Broken(f"The model is {result.model!r}: give its name, or None.")
    for name in ("input_tokens", "output_tokens"):
        tokens = getattr(result, name)
        if tokens is not None and (type(tokens) is not int or tokens < 0):
            raise Broken(f"{name} is {tokens!r}: give a number of tokens, or None.")
    cost = result.cost_usd
    if cost is not None and not (isinstance(cost, Decimal) and cost.is_finite() and cost >= 0):
        raise Broken(f"cost_usd is {cost!r}: give a Decimal, or None.")
    _check_json("The metadata", result.metadata)


def _check_events(events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    reported = list(events)
    if len(reported) > MOST_EVENTS:
        raise Broken(
            f"A run reports {len(reported):,} events, of which the first {MOST_EVENTS:,} are kept:"
            " report less."
        )
    for type_, data in reported:
        if not isinstance(type_, str) or not 0 < len(type_) <= LONGEST_EVENT_TYPE:
            raise Broken(
                f"The type of an event is {type_!r}: give 1 to {LONGEST_EVENT_TYPE} characters."
            )
        _check_json(f"The data of the event {type_}", data)


def _check_json(what: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise Broken(f"{what} is {type(value).__name__}: give a dict.")
    try:
        storable(value)
    except TypeError as error:
        raise Broken(f"{what} cannot be recorded: {error}") from None
