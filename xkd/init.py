"""`python -m xkd.init PREPARED OUT SEED`: the init without any pretraining, as an artefact like the distilled one."""

import sys
from pathlib import Path

from xkd.finetune import scratch
from xkd.params import profile
from xkd.prepared import Prepared

if __name__ == "__main__":
    prepared, out, seed = sys.argv[1:]
    params = profile()
    scratch(params["student"], Prepared(prepared, params["data"]["train"]).classes, int(seed), Path(out))
