"""What tests share: small data sets, written by hand or made; and which of them run in one process."""

import resource
import signal
import sys
from pathlib import Path

import layout_kitti_raw
import layout_rellis3d
import layouts
import pytest

LONGEST = ("test_run.py", "test_pipeline.py", "notebooks", "test_study.py")
"""What takes longest, so that it is begun first and no process waits for it alone at the end."""


def pytest_collection_modifyitems(items):
    """The longest first, in the order of `LONGEST`."""
    items.sort(key=lambda item: (*LONGEST, part(item.nodeid)).index(part(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With several processes every part goes to one of them, in the order in which the parts were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Parts(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return part(nodeid)

    return Parts(config, log)


def part(nodeid):
    """What runs in one process: the tests of a file, for the sake of its fixtures; all notebooks, for they share out/smoke."""
    return "notebooks" if nodeid.startswith("notebooks/") else Path(nodeid.partition("::")[0]).name


@pytest.fixture
def nuscenes(tmp_path):
    """Folder with `layouts.nuscenes`, for one test to read or damage."""
    return layouts.nuscenes(tmp_path / "nuscenes")


@pytest.fixture
def kitti(tmp_path):
    """Folder with `layouts.semantickitti`."""
    return layouts.semantickitti(tmp_path / "kitti")


@pytest.fixture
def raw(tmp_path):
    """Folder with `layout_kitti_raw.layout`."""
    return layout_kitti_raw.layout(tmp_path / "raw")


@pytest.fixture
def rellis(tmp_path):
    """Folder with the sequences of `layout_rellis3d`."""
    return layout_rellis3d.sequences(tmp_path / "rellis")


@pytest.fixture
def example(tmp_path):
    """Folder with the example of `layout_rellis3d`."""
    return layout_rellis3d.example(tmp_path / "example")


@pytest.fixture(params=["rellis", "example"])
def either(request):
    """(folder of one of RELLIS-3D's two layouts, files of its first frame)"""
    root = request.getfixturevalue(request.param)
    return root, layout_rellis3d.first(root, request.param)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Folder with `nuscenes/`, `semantickitti/` and `cityscapes/` of the smoke profile; made once a run, read-only."""
    from xkd.sim.write import build

    out = tmp_path_factory.mktemp("made") / "data"
    build(out, profile="smoke")
    return out


@pytest.fixture(scope="session")
def stages(made, tmp_path_factory):
    """A folder with `prepared` and `teacher` of the smoke profile, made from the made data."""
    from xkd.extract import extract, stage_teacher
    from xkd.params import profile
    from xkd.prepare import prepare

    out, params = tmp_path_factory.mktemp("stages"), profile("smoke")
    data = params["data"] | {"root": str(made / "nuscenes")}
    prepare(data, params["prepare"], out / "prepared")
    settings = params["teacher"] | {"source": str(made / "cityscapes")}
    teacher, _ = stage_teacher(settings, out / "teacher" / "mini")
    extract(teacher, data, out / "prepared", settings, out / "teacher")
    return out


@pytest.fixture(scope="session")
def gathered(made, stages, tmp_path_factory):
    """The folder of the smoke data's views; beside it, those of the validation split."""
    from xkd import gather
    from xkd.params import profile

    sections = profile("smoke")
    data, out = sections["data"] | {"root": str(made / "nuscenes")}, tmp_path_factory.mktemp("views")
    teacher = gather.opened(sections["teacher"], stages / "teacher")
    for name in ("views", "views-validation"):
        arguments = (data, stages / "prepared", stages / "teacher", sections["views"], out / name)
        gather.gather(teacher, *arguments, name != "views")
    return out / "views"


@pytest.fixture
def smoke(made):
    """All sections of the smoke profile, on the made data; a copy of the test's own."""
    from xkd.params import profile

    sections = profile("smoke")
    sections["data"]["root"] = str(made / "nuscenes")
    sections["teacher"]["source"] = str(made / "cityscapes")
    return sections


@pytest.fixture(scope="module")
def out(stages, gathered, tmp_path_factory):
    """A folder with `prepared`, `teacher`, `views` and `views-validation` of the smoke data, for a module to write in."""
    folder = tmp_path_factory.mktemp("out")
    for name in ("prepared", "teacher"):
        (folder / name).symlink_to(stages / name)
    for name in ("views", "views-validation"):
        (folder / name).symlink_to(gathered.with_name(name))
    return folder


@pytest.fixture(scope="module")
def benchmarks():
    """The scripts of benchmarks/ can be imported."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)


@pytest.fixture
def one_thread():
    """One thread of torch's: the same sums in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_hub(monkeypatch):
    """A hub of models that is out of reach."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def full_disk():
    """No file of this process may grow beyond 10,000 bytes: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)
