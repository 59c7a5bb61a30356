"""What tests share: one small made data set."""

import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Folder with `nuscenes/`, `semantickitti/` and `cityscapes/` of the smoke profile; made once a run, read-only."""
    from xkd.sim.write import build

    out = tmp_path_factory.mktemp("made") / "data"
    build(out, profile="smoke")
    return out
