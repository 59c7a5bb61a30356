"""The init without pretraining, by its command."""

import pytest
import torch

from xkd import XkdError, init, params, student


def test_the_command_writes_a_student_of_the_seed_and_the_classes(stages, tmp_path, monkeypatch):
    sections = params.profile("smoke")
    monkeypatch.setattr(init, "profile", lambda: sections)
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        init.main([str(stages / "prepared"), str(tmp_path / name), seed])
    a, b, c = (student.load(tmp_path / name) for name in "abc")
    assert a.facts["init"] == "scratch" and a.facts["seed"] == 3 and "car" in a.config["classes"]
    pairs = list(zip(a.parameters(), b.parameters(), c.parameters(), strict=True))
    assert all(torch.equal(x, y) for x, y, _ in pairs) and not all(torch.equal(x, z) for x, _, z in pairs)


@pytest.mark.parametrize("arguments", [[], ["prepared", "out"], ["prepared", "out", "first"]])
def test_wrong_arguments_are_told_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        init.main(arguments)
    assert "usage: python -m xkd.init" in capsys.readouterr().err


def test_a_folder_without_scans_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(XkdError, match="nowhere"):
        init.main([str(tmp_path / "nowhere"), str(tmp_path / "out"), "0"])
    assert not list(tmp_path.iterdir())
