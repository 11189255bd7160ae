"""A process that runs one `llm` agent, as a worker would: `asking.py config message`."""

import json
import sys
from datetime import UTC, datetime
from uuid import uuid4

from worker.agents.llm.agent import LlmAgent
from worker.agents.protocol import Context
from worker.agents.stop import Stop

config, message = sys.argv[1:]
context = Context(
    run_id=uuid4(),
    agent_id="tester",
    session_id=uuid4(),
    attempt=1,
    deadline=datetime(2030, 1, 1, tzinfo=UTC),
    stop=Stop(),
    report=print,
    use=lambda usage, model=None: print(usage, model),
    keep=print,
    allow_private_addresses=True,
)
LlmAgent(LlmAgent.config_schema().load(json.loads(config))).run(message, context)
