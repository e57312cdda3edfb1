"""``python main.py <command> --flag=value ...``"""

import os
import sys

from cli import main
from foundations.processes import own_share

if __name__ == "__main__":
    code = main()
    if own_share().of > 1:  # threads of a closed connection sometimes abort a process that tears down its interpreter
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
