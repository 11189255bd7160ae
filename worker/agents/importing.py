"""The process in which a kind's module is imported to see what that takes: `kind_contract.py`'s."""

import importlib
import json
import os
import sys
import threading
import tracemalloc
from typing import Any

# What the API has imported already, and every kind may use.
OF_THE_HOUSE = ("worker.agents.config", "worker.agents.connection", "worker.agents.http_schema")
# The names of audit events, and what each is called.
REACHING_OUT = {
    "socket.__new__": "opens a socket",
    "socket.getaddrinfo": "looks up a host",
    "subprocess.Popen": "starts a process",
    "os.fork": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.system": "starts a process",
}


def main() -> None:
    """Read which module to import and where to look; say what its import did and took."""
    request = json.load(sys.stdin)
    sys.path[:] = request["path"]
    for name in OF_THE_HOUSE:
        importlib.import_module(name)
    print(f"\n{json.dumps(watched(request['module']))}", flush=True)
    os._exit(0)  # Whatever threads the module has started, they have been seen.


def watched(module: str) -> dict[str, Any]:
    """Import *module*; what it did, and the modules and bytes of memory that came with it."""
    known, does = set(sys.modules), set()

    def listen(event: str, _: object) -> None:
        if event in REACHING_OUT:
            does.add(REACHING_OUT[event])

    sys.addaudithook(listen)
    tracemalloc.start()
    importlib.import_module(module)
    memory, _ = tracemalloc.get_traced_memory()
    if threading.active_count() > 1:
        does.add("starts a thread")
    return {"does": sorted(does), "modules": sorted(set(sys.modules) - known), "memory": memory}


if __name__ == "__main__":
    main()
