"""How fast it is: `python -m benchmarks`; `--help` says what can be measured."""

import sys
from pathlib import Path

# The servers and the instruments of the tests are of use here, too.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
