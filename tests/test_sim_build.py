"""Whole builds of the made data: their streets, what they leave alone, when they are made again, and what a failed one leaves."""

import pytest

import xkd
from xkd.files import digest, read_json
from xkd.params import profile
from xkd.prepared import matching
from xkd.sim import __main__ as command
from xkd.sim import write, write_nuscenes
from xkd.sim.write_nuscenes import VERSIONS, role_numbers, scene_numbers


def test_no_street_occurs_twice():
    streets = write.plan() + write.plan(seed=1) + write.plan(profile="smoke", seed=2)
    assert len({s.seed for s in streets}) == len(streets)
    assert sum(s.frames for s in write.plan() if s.role.startswith("corpus")) == 2100
    assert all(0 <= s.seed < 1 << 31 for s in streets)


def test_streets_to_tune_on_are_training_scenes_of_their_own():
    planned = [(s.role, role_numbers(s.role)[s.number]) for s in write.plan() if s.role in VERSIONS]
    assert len({number for _, number in planned}) == len(planned)
    tuning = [number for role, number in planned if role == "tuning"]
    assert set(tuning) < set(scene_numbers("train")) and len(tuning) == 62
    # params.yaml names them by one pattern, which fits no street that labels are drawn from
    train = [f"scene-{number:04d}" for role, number in planned if role in ("train", "tuning")]
    assert matching(train, profile()["data"]["tuning"]) == [False] * 40 + [True] * 62


@pytest.mark.parametrize("wrong", [{"rig": "radar"}, {"profile": "huge"}, {"seed": -1}])
def test_wrong_options_are_named(wrong):
    with pytest.raises(xkd.XkdError, match=str(*wrong.values())):
        write.plan(**wrong)


@pytest.fixture
def empty(monkeypatch):
    """Builds that make no street."""
    monkeypatch.setattr(write, "make", lambda streets, root, processes: dict.fromkeys(streets))
    monkeypatch.setattr(write_nuscenes, "write_tables", lambda *_: None)


@pytest.mark.parametrize("marker", [None, "[]", '{"made_by": "hand"}'])
def test_a_foreign_folder_is_left_alone(marker, empty, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("precious")
    if marker:
        (tmp_path / write.MARKER).write_text(marker)
    assert command.main([str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert str(tmp_path) in message and message.count("\n") == 1
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_the_same_build_is_skipped_and_another_replaces_it(empty, tmp_path):
    out, said = tmp_path / "data", []
    assert write.build(out, profile="smoke", say=said.append)
    assert not write.build(out, profile="smoke", say=said.append) and "nothing to do" in said[-1]
    assert write.build(out, profile="smoke", seed=5, say=said.append)
    assert read_json(out / "xkd-sim.json")["seed"] == 5
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_damaged_build_is_made_again(empty, tmp_path, monkeypatch):
    def one_file(streets, root, processes):
        (root / "semantickitti").mkdir()
        (root / "semantickitti" / "file").touch()

    monkeypatch.setattr(write, "make", one_file)
    options = {"rig": "kitti", "profile": "smoke", "say": lambda _: None}
    assert write.build(tmp_path / "data", **options)
    (tmp_path / "data/semantickitti/file").unlink()
    assert write.build(tmp_path / "data", **options) and not write.build(tmp_path / "data", **options)


def test_a_failed_build_leaves_the_old_one(empty, tmp_path, monkeypatch):
    out = tmp_path / "data"
    write.build(out, profile="smoke", say=lambda _: None)
    before = digest(out)

    def fail(*_):
        raise RuntimeError("stopped")

    monkeypatch.setattr(write, "make", fail)
    with pytest.raises(RuntimeError):
        write.build(out, profile="smoke", seed=1, say=lambda _: None)
    assert digest(out) == before and [p.name for p in tmp_path.iterdir()] == ["data"]


def test_the_code_digest_ignores_comments_and_docstrings():
    code = 'def f(x):\n    """Old."""\n    return x + 1  # reason\n'
    assert write.statements(code) == write.statements('def f(x):\n    """New\n    text."""\n\n    return x + 1\n')
    assert write.statements(code) != write.statements(code.replace("1", "2"))
    assert write.statements('x = "a"') != write.statements('x = "b"')
