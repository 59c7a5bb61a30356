"""`python -m xkd.init PREPARED OUT SEED`: the init without any pretraining, as an artefact like the distilled one."""

import sys
from pathlib import Path

from xkd.errors import XkdError
from xkd.finetune import scratch
from xkd.params import check, profile
from xkd.prepared import Prepared

if __name__ == "__main__":
    prepared, out, seed = sys.argv[1:]
    try:
        params = profile()
        classes = Prepared(prepared, check("data", params["data"])["train"]).classes
        scratch(check("student", params["student"]), classes, int(seed), Path(out))
    except XkdError as error:
        sys.exit(f"xkd: {error}")
