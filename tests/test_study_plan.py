"""What is left of the study, and how long it takes: by hand on few cells."""

import pytest
import yaml

import xkd
from xkd import estimate, finetune, params, study, study_plan
from xkd.files import write_json
from xkd.prepared import Prepared

LABELLED = study_plan.labelled


@pytest.fixture
def sections():
    return study.check(params.profile())


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    """Whatever this checkout has prepared."""
    monkeypatch.setattr(study_plan, "labelled", lambda params: study_plan.FRAMES)


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
    for row in ("no-late-fusion", "no-views"):
        both = cost(("ablation", row), ("unlabelled", "xmodel"))
        assert both == pytest.approx(2 * (1950 * taught + 1700 * fused) + 4000 * init), row


def test_it_says_what_is_left(sections, tmp_path, monkeypatch, capsys):
    rows = ("pretraining", "scratch"), ("pretraining-full", "scratch")
    left = [cell for row in rows for cell in study.cells(sections, *row, tmp_path)]
    monkeypatch.setattr(study_plan, "missing", lambda params: left)
    monkeypatch.setattr(study_plan, "seconds", lambda params, left: 3 * 3600 * len(left) / 20)
    monkeypatch.setattr(estimate, "calibrate", lambda: 2 * estimate.REFERENCE)
    assert [len(study.cells(sections, *row)) for row in rows] == [20, 13]
    assert study_plan.main([]) == 0
    said = capsys.readouterr().out
    assert "has 477 of 497 cells in study/metrics, besides those of FULL=1 (--full);" in said
    assert "the others take about 6 hours on this machine" in said
    assert study_plan.main(["--full"]) == 0
    said = capsys.readouterr().out
    assert "has 613 of 646 cells in study/metrics; the others take about 10 hours on this machine" in said
    assert "all of them about 194 hours (97 on the machine that the costs are of)." in said  # 646 cells, 9 minutes each
    monkeypatch.setattr(study_plan, "missing", lambda params: [])
    assert study_plan.main(["--full"]) == 0 and "646 of 646 cells in study/metrics. What" in capsys.readouterr().out
    monkeypatch.setattr(study_plan, "profile", lambda: sections | {"study": sections["study"] | {"steps": -1}})
    assert study_plan.main([]) == 1 and "study.steps is -1" in capsys.readouterr().err


def test_stages_are_those_of_the_rows(capsys):
    rows = yaml.safe_load((xkd.ROOT / "study" / "dvc.yaml").read_text())["stages"]["cells"]["matrix"]["row"]
    assert study_plan.main(["--stages", "--full"]) == 0
    assert capsys.readouterr().out.split() == [f"study/dvc.yaml:cells@row{n}" for n in range(len(rows))]
    assert study_plan.main(["--stages"]) == 0
    named = [rows[int(name.removeprefix("study/dvc.yaml:cells@row"))] for name in capsys.readouterr().out.split()]
    left = [row for row in rows if row not in named]
    assert named == [row for row in rows if row in named]
    assert [row["name"] for row in left if row["block"] == "ablation"] == ["start-cosine", "no-pixel"]
    full = [row for row in rows if row["block"].endswith("-full")]
    assert [row for row in left if row["block"] != "ablation"] == full != []


def test_labelled_frames_are_counted_where_data_are_prepared(stages, monkeypatch):
    sections = params.profile("smoke")
    monkeypatch.setattr(xkd, "ROOT", stages)
    train = Prepared(stages / "prepared", sections["data"]["train"])
    own = finetune.labelled(train, sections["data"]["tuning"])
    assert LABELLED(sections, ".") == len(own) != study_plan.FRAMES
    assert LABELLED(sections) == study_plan.FRAMES
