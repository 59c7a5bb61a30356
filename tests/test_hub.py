"""A student as a folder for a model hub: it loads, and its card says what the report says."""

import pytest
import yaml

import xkd
from xkd import XkdError, hub, params, report, student
from xkd.files import read_json, write_json
from xkd.made_cells import made_cells


@pytest.fixture
def sweep(tmp_path):
    """A folder like `out` with invented cells, a student for one of them, and its report."""
    out = made_cells(tmp_path / "out", fractions=(0.1, 1.0), seeds=2, streets=3)
    classes = read_json(out / "prepared" / "val" / "frames.json")["classes"]
    student.save(
        student.build({"voxel": 1.0, "widths": [4, 4], "classes": classes}, 0),
        tmp_path / "net",
        init="xmodel",
        fraction=0.1,
    )
    for file in (tmp_path / "net").iterdir():
        file.rename(out / "finetune" / "0.1-xmodel-0" / file.name)
    sections = {name: section for name, section in params.profile().items() if name not in ("sweep", "study")}
    report.build(out, out / "report", sections | {"report": {"draws": 20, "seed": 0}}, tmp_path / "none.json")
    return out


def test_the_folder_loads_and_its_card_has_the_numbers(sweep, tmp_path):
    hub.write("0.1-xmodel-0", tmp_path / "hub", sweep, sweep / "report")
    network = xkd.load(tmp_path / "hub")
    metrics = read_json(sweep / "metrics" / "finetune-0.1-xmodel-0.json")
    assert (
        set(network.config["classes"]) == set(metrics["iou"])
        and read_json(tmp_path / "hub" / "metrics.json") == metrics
    )
    text = (tmp_path / "hub" / "README.md").read_text()
    facts = yaml.safe_load(text.split("---\n")[1])
    # The default data: nobody is to take them for nuScenes.
    dataset = facts["model-index"][0]["results"][0]["dataset"]
    assert (
        dataset == {"type": "xkd-sim", "name": "made streets in the layout of nuscenes"}
        and "not recorded on any road" in text
    )
    assert facts["license"] == "apache-2.0"
    assert facts["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(metrics["miou"], abs=0.005)
    summary = read_json(sweep / "report" / "report.json")
    (gain,) = (d for d in summary["differences"]["xmodel"] if d["fraction"] == 0.1)
    assert f"{gain['mean']:+.2f} points to training from scratch" in text and "Teacher `mini`" in text
    for name, value in metrics["iou"].items():
        assert f"| {name.replace('_', ' ')} | {value:.2f} |" in text
    assert (tmp_path / "hub" / "curve.png").is_file()


def test_a_card_of_one_seed_claims_no_interval(sweep):
    summary, metrics = (
        read_json(sweep / name) for name in ("report/report.json", "metrics/finetune-0.1-xmodel-0.json")
    )
    network = student.load(sweep / "finetune" / "0.1-xmodel-0")
    assert "All 2 seeds: " in hub.card("0.1-xmodel-0", network, metrics, summary)
    for row in summary["scores"]:
        row |= {"n": 1, "sd": None}
    for row in (row for rows in summary["differences"].values() for row in rows):
        row |= {"n": 1, "low": None, "high": None}
    text = hub.card("0.1-xmodel-0", network, metrics, summary)
    assert " 1 seed: " in text and "points to training from scratch, no interval. It sees LiDAR alone." in text
    assert "95 % interval" not in text and "1 seeds" not in text


def test_recorded_data_are_named_and_their_licence_is_not_ours(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "made", lambda root: False)
    file = sweep / "report" / "report.json"
    summary = read_json(file)
    summary["setting"]["parameters"]["data"] |= {"kind": "folder", "root": "/home/me/{a: b}, c"}
    write_json(file, summary)
    hub.write("0.1-xmodel-0", tmp_path / "hub", sweep, sweep / "report")
    text = (tmp_path / "hub" / "README.md").read_text()
    facts = yaml.safe_load(text.split("---\n")[1])
    assert facts["model-index"][0]["results"][0]["dataset"] == {"type": "folder", "name": "folder"}
    assert facts["license"] == "other" and "the licence of the data that they were trained on decides" in text
    assert "/home/me" not in text and "- Data: folder.\n" in text


def test_the_baselines_card_claims_no_teacher(sweep, tmp_path):
    classes = read_json(sweep / "prepared" / "val" / "frames.json")["classes"]
    network = student.build({"voxel": 1.0, "widths": [4, 4], "classes": classes}, 0)
    metrics = read_json(sweep / "metrics" / "finetune-0.1-scratch-0.json")
    text = hub.card("0.1-scratch-0", network, metrics, read_json(sweep / "report" / "report.json"))
    facts = yaml.safe_load(text.split("---\n")[1])
    assert facts["tags"] == ["lidar", "point-cloud", "semantic-segmentation"]
    assert "Teacher" not in text and "pseudo-labels" not in text and "paired t interval" in text


def test_weights_of_another_cell_are_refused(sweep, tmp_path):
    file = sweep / "finetune" / "0.1-xmodel-0" / "network.json"
    for key, value in (("init", "scratch"), ("fraction", 0.5), ("seed", 1)):
        about = read_json(file)
        write_json(file, about | {"facts": about["facts"] | {key: value}})
        with pytest.raises(XkdError, match=f"0.1-xmodel-0: its weights are of {key} {value}, and the cell"):
            hub.write("0.1-xmodel-0", tmp_path / "hub", sweep, sweep / "report")
        write_json(file, about)
    assert not (tmp_path / "hub").exists()


def test_a_cell_that_is_not_the_reports_is_refused(sweep, tmp_path):
    with pytest.raises(XkdError, match="finetune-0.5-xmodel-0.json: no such file"):
        hub.write("0.5-xmodel-0", tmp_path / "hub", sweep, sweep / "report")
    file = sweep / "metrics" / "finetune-0.1-xmodel-0.json"
    write_json(file, read_json(file) | {"miou": 1.0})
    with pytest.raises(XkdError, match="says nothing of the cell 0.1-xmodel-0 as it is now"):
        hub.write("0.1-xmodel-0", tmp_path / "hub", sweep, sweep / "report")
    assert not (tmp_path / "hub").exists()
