"""What a person reads once everything runs: where it is, and what to type next."""

import shlex

from cli.address import Address
from cli.datadir import DataDirectory

BLOCK = """
  Agent Manager is running.

    Address   {url}
    Docs      {url}/api/v1/docs
    Data      {data}
    Token     {token}
              kept in {token_file}

  Try it in another terminal: a schedule that fires every minute, and what became of it.

export TOKEN={token}
curl -X POST {url}/api/v1/schedules -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{{"name": "Every minute", "agentId": "finance_agent", "message": "Sum up today", \
"cronExpression": "* * * * *"}}'
curl {url}/api/v1/runs -H "Authorization: Bearer $TOKEN"

  Ctrl-C stops everything.
"""


def block(address: Address, data: DataDirectory, token: str) -> str:
    """The lines for somebody who has just started Agent Manager for the first time."""
    return BLOCK.format(
        url=address.url,
        data=data.path,
        token=token,
        token_file=shlex.quote(str(data.admin_token)),
    )
