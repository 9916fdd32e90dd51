"""`python -m lmservice` is `lmservice`."""

import sys

from lmservice.cli import main

sys.exit(main())
