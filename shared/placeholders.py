"""How a configuration names a secret of the worker's: `${secret:NAME}`."""

import re

#: With this it begins to do so.
OPENING = "${secret:"
PLACEHOLDER = re.compile(r"\$\{secret:([A-Za-z0-9_-]{1,128})\}", re.ASCII)
