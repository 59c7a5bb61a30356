"""What is left of the study, and how long it takes: by hand on few cells."""

import pytest

from xkd import estimate, params, study, study_plan
from xkd.files import write_json


@pytest.fixture
def sections():
    return study.check(params.profile())


def test_what_is_there_is_not_left(sections, tmp_path):
    every = study_plan.missing(sections, tmp_path)
    assert len(every) == sum(len(study.cells(sections, b, r)) for b, rows in study.ROWS.items() for r in rows)
    first = every[0]
    write_json(first.file, {})
    assert study_plan.missing(sections, tmp_path) == every[1:]


def test_an_init_and_a_network_with_images_are_made_once(sections, tmp_path):
    """4000 steps of pretraining; 20 frames: a quarter of 7800 steps, twice that for scratch-long, 700 + 50 * 20 of the fused network."""
    sections["distill"]["steps"] = 4000
    step = estimate.STEP + estimate.POINT_STEP * 2 * 12288
    labels, self_training, taught, fused, init, objective = study_plan.STEP.values()

    def cost(*rows):
        found = [c for row in rows for c in study.cells(sections, *row, tmp_path) if (c.fraction, c.seed) == (0.05, 1)]
        assert len(found) == len(rows)
        return study_plan.seconds(sections, found) / step

    assert cost(("pretraining", "scratch")) == pytest.approx(1950 * labels)
    assert cost(("pretraining", "scratch-long")) == pytest.approx(3900 * labels)
    assert cost(("unlabelled", "self-training")) == pytest.approx(1950 * self_training)
    pretrained = cost(("pretraining", "xmodel"))
    assert pretrained == pytest.approx(1950 * labels + 4000 * init)
    assert cost(("pretraining", "ppkt")) == pytest.approx(1950 * labels + 4000 * objective)
    both = cost(("pretraining", "xmodel"), ("unlabelled", "xmodel"), ("images", "fused"))
    assert both == pytest.approx(pretrained + 1950 * taught + 1700 * fused)
    assert cost(("linear", "xmodel")) == pytest.approx(study_plan.PROBE / step + 4000 * init)
    assert cost(("ablation", "no-pixel"), ("unlabelled", "xmodel")) == pytest.approx(2 * cost(("unlabelled", "xmodel")))
    shared = ("ablation", "hard-labels"), ("ablation", "self-labels"), ("unlabelled", "xmodel")
    assert cost(*shared) == pytest.approx(2 * 1950 * taught + 1950 * self_training + 1700 * fused + 4000 * init)
    otherwise = ("ablation", "no-late-fusion"), ("unlabelled", "xmodel")
    assert cost(*otherwise) == pytest.approx(2 * (1950 * taught + 1700 * fused) + 4000 * init)


def test_it_says_what_is_left(sections, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study_plan, "missing", lambda params: study.cells(params, "pretraining", "scratch", tmp_path))
    monkeypatch.setattr(study_plan, "seconds", lambda params, left: 3 * 3600 * len(left) / 20)
    monkeypatch.setattr(estimate, "calibrate", lambda: 2 * estimate.REFERENCE)
    assert study_plan.main([]) == 0
    said = capsys.readouterr().out
    assert "626 of 646 cells" in said and "the others take about 6 hours on this machine" in said
    assert "all of them about 194 hours (97 on the machine that the costs are of)." in said  # 646 cells, 9 minutes each
    monkeypatch.setattr(study_plan, "missing", lambda params: [])
    assert study_plan.main([]) == 0 and "646 of 646 cells in study/metrics. What" in capsys.readouterr().out
    monkeypatch.setattr(study_plan, "profile", lambda: sections | {"study": sections["study"] | {"steps": -1}})
    assert study_plan.main([]) == 1 and "study.steps is -1" in capsys.readouterr().err
