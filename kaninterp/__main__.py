"""``python -m kaninterp``."""

import sys

from kaninterp.cli import main

sys.exit(main())
