"""The study's table and its dvc.yaml: numbers by hand, the strongest baseline, and stages that list what they import."""

import ast
import json

import numpy as np
import pytest
import test_pipeline
import yaml

from xkd import ROOT, XkdError, params, statistics, study, study_origin, study_report, study_versus
from xkd.files import read_json, write_json
from xkd.study_count import packed

STAGES = yaml.safe_load((ROOT / "study" / "dvc.yaml").read_text())["stages"]
CLASSES = ["b", "a"]
"""In the order of their ids, which is not that of their names."""


def write(folder, block, row, fraction, seed, hits, streets=3, **more):
    """A cell whose classes both have the IoU hits / 100 on every street: hits, and as many misses as are left."""
    counts = np.zeros((streets, 2, 3), np.int64)
    counts[:, :, 0], counts[:, :, 1] = hits, 100 - hits
    cell = {
        "miou": float(hits),
        "iou": dict.fromkeys(CLASSES, float(hits)),
        "streets": [f"s{i}" for i in range(streets)],
    }
    cell |= {"block": block, "init": row, "fraction": fraction, "seed": seed, "frames": 4, "steps": 10, "lr": 0.01}
    distance = np.zeros((5, 2, 3), np.int64)
    distance[0] = counts.sum(0)
    coverage = np.stack([counts.sum(0), 0 * counts.sum(0)])
    cell["counts"] = packed({"streets": counts, "distance": distance, "coverage": coverage})
    write_json(folder / block / f"{row}-{fraction:g}-{seed}.json", cell | more)


@pytest.fixture
def sections():
    return params.profile() | {
        "study": {"fractions": [0.01], "seeds": [0, 1]}
        | {name: {"fractions": [0.01], "seeds": [0, 1]} for name in ("side", "full")}
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three rows with two seeds, all of which count as done."""
    monkeypatch.setattr(study_report, "precision", lambda params, cell, out: "bfloat16")
    monkeypatch.setattr(study_report, "classes_of", lambda params, out: CLASSES)
    for seed, (scratch, longer, cosine) in enumerate([(40, 41, 50), (42, 45, 52)]):
        for row, hits in (("scratch", scratch), ("scratch-long", longer), ("cosine", cosine)):
            write(tmp_path, "pretraining", row, 0.01, seed, hits)
    return tmp_path


def test_a_study_says_how_little_it_rests_on(sections, folder):
    found = study_report.collect(sections, folder=folder)
    said = study_report.size(found)
    assert said == "Labelled frames: 4; validation: 3 streets."
    # Of the nine rows of the first block three are there.
    said = study_report.missing(found)
    assert (
        said.startswith("Not there: ")
        and "pretraining lidar-ssl (2), pretraining ppkt (2)" in said
        and "pretraining scratch" not in said
    )
    for seed in (0, 1):
        for row, hits in (("scratch", 40 + seed), ("scratch-long", 41), ("cosine", 50)):
            write(folder, "pretraining", row, 0.01, seed, hits, streets=1)
    found = study_report.collect(sections, folder=folder)
    assert (
        "validation: 1 street. Of one street there is no spread to tell: intervals are over seeds"
        in study_report.size(found)
    )


def test_how_often_a_superpixel_finds_its_own_is_counted_once_a_seed(sections, folder):
    sections["study"]["fractions"] = [0.01, 0.05]
    for seed, hit in enumerate((0.2, 0.4)):
        for fraction in (0.01, 0.05):
            before = {"loss": [2.0, 1.0 + seed], "hit": hit, "point": hit / 2, "among": 50.0, "held": True}
            write(folder, "pretraining", "ppkt", fraction, seed, 40, pretraining=before)
            write(folder, "pretraining", "lidar-ssl", fraction, seed, 40, pretraining={"loss": [3.0, 2.0]})
    found = study_report.aligned(study_report.collect(sections, folder=folder))
    own, ssl = ("pretraining", "ppkt"), ("pretraining", "lidar-ssl")
    assert set(found.index) == {own, ssl}  # the others were not pretrained, as far as these cells say
    expected = {"first": 2, "last": 1.5, "found": 30, "point": 15, "sd": 200**0.5, "n": 2, "chance": 2, "held": True}
    assert found.loc[own].to_dict() == pytest.approx(expected)
    assert found.loc[ssl, ["first", "last"]].tolist() == [3, 2] and np.isnan(found.loc[ssl, "found"])


def test_a_row_is_compared_with_the_strongest_that_saw_no_image(sections, folder):
    found = study_report.collect(sections, folder=folder)
    assert study_report.strongest(found, "pretraining", 0.01) == ("pretraining", "scratch-long")
    table = study_report.table(found, "pretraining", draws=50).set_index("row")
    line = table.loc["cosine"]
    assert line["mean"] == 51 and line.n == 2 and line.baseline == "pretraining scratch-long" and line.pairs == 2
    # Differences 9 and 7: mean 8, standard deviation sqrt(2), t(1) = 12.706; all streets are alike.
    assert line.difference == pytest.approx(8)
    assert line.high - line.difference == pytest.approx(12.706 * (2 / 2) ** 0.5, abs=0.01)
    assert table.loc["scratch-long"].baseline == ""  # it is the baseline
    assert table.loc["scratch"].difference == pytest.approx(-2)


def test_rows_with_few_seeds_share_their_deviation(sections, folder):
    for seed, (whole, hard, many, few) in enumerate([(60, 58, 61, 55), (62, 58, 61, 57)]):
        write(folder, "unlabelled", "xmodel", 0.01, seed, whole)
        for row, hits in (("hard-labels", hard), ("superpixels", many), ("few-superpixels", few)):
            write(folder, "ablation", row, 0.01, seed, hits)
    table = study_report.table(study_report.collect(sections, folder=folder), "ablation", draws=50).set_index("row")
    assert table.loc["hard-labels"].baseline == table.loc["superpixels"].baseline == "unlabelled xmodel"
    assert table.loc["few-superpixels"].baseline == "ablation superpixels"
    # Differences -2 and -4, 1 and -1, -6 and -4: each has a variance of 2, and t of the three degrees of freedom together is 3.182.
    # The whole method is in the table too, for as many seeds.
    whole = table.loc["unlabelled xmodel"]
    assert whole["mean"] == 61 and whole.n == 2 and whole.baseline == "" and np.isnan(whole.difference)
    table = table.drop("unlabelled xmodel")
    assert table.difference.to_dict() == pytest.approx({"hard-labels": -3, "superpixels": 0, "few-superpixels": -5})
    assert (table.high - table.difference).tolist() == pytest.approx([3.182 * (2 / 2) ** 0.5] * 3, abs=0.01)


def test_a_trained_network_made_worse_does_not_win(sections, folder):
    """More training is compared with the network that it begins with, and with as many steps in one go, for the seeds that are there."""
    sections["study"]["seeds"] = [0, 1, 2]
    write(folder, "pretraining", "scratch-long", 0.01, 2, 99)
    for seed in (0, 1):
        write(folder, "further", "labels", 0.01, seed, 38)
        write(folder, "further", "xmodel", 0.01, seed, 39 + seed)
    found = study_report.collect(sections, folder=folder)
    table = study_report.table(found, "further", draws=50).set_index("row")
    assert table.baseline.to_dict() == {
        "labels": "pretraining scratch-long",
        "xmodel": "pretraining scratch-long",
        "pretraining scratch": "",
        "pretraining scratch-long": "",
    }
    assert table.loc["xmodel"].difference == pytest.approx(-3.5)
    assert table.loc["pretraining scratch-long"]["mean"] == 43 and (table.n == 2).all()


def test_a_control_is_compared_with_as_many_steps_without_a_teacher(sections, folder):
    for seed in (0, 1):
        write(folder, "pretraining", "lidar-ssl", 0.01, seed, 39)
        for row, hits in (("cosine-shuffled", 38), ("cosine-random", 44)):
            write(folder, "teachers", row, 0.01, seed, hits + seed)
    table = study_report.table(study_report.collect(sections, folder=folder), "teachers", draws=50).set_index("row")
    assert table.loc["cosine-random"].baseline == "pretraining scratch" and table.loc["cosine-random"].difference == 3.5
    assert table.loc["cosine-shuffled"].baseline == "pretraining lidar-ssl"
    assert table.loc["cosine-shuffled"].difference == pytest.approx(-0.5)
    assert set(table.index[2:]) == {f"pretraining {row}" for row in ("scratch", "lidar-ssl", "cosine")}


def test_a_row_that_varies_more_than_the_others_has_its_own_interval(sections, folder):
    for seed, (whole, hard, start) in enumerate([(60, 58, 50), (60, 58, 58)]):
        write(folder, "unlabelled", "xmodel", 0.01, seed, whole)
        for row, hits in (("hard-labels", hard), ("start-scratch", start)):
            write(folder, "ablation", row, 0.01, seed, hits)
    table = study_report.table(study_report.collect(sections, folder=folder), "ablation", draws=50).set_index("row")
    # Variances 0 and 32, pooled 16 with two degrees of freedom, t = 4.303: the second has its own, with one, t = 12.706.
    half = table.high - table.difference
    assert half["hard-labels"] == pytest.approx(4.303 * (16 / 2) ** 0.5, abs=0.01)
    assert half["start-scratch"] == pytest.approx(12.706 * (32 / 2) ** 0.5, abs=0.01)
    assert table.spread["start-scratch"] == pytest.approx(32**0.5)


def test_a_row_of_the_first_blocks_pools_over_its_own_fractions_alone(sections, folder):
    sections["study"]["fractions"] = [0.01, 0.05]
    for seed, (scratch, cosine) in enumerate([(50, 51), (50, 57)]):
        write(folder, "pretraining", "scratch", 0.05, seed, scratch)
        write(folder, "pretraining", "cosine", 0.05, seed, cosine)
    table = study_report.table(study_report.collect(sections, folder=folder), "pretraining", draws=50)
    lines = table.set_index(["row", "fraction"])
    # At 1 % 9 and 7 over scratch-long, at 5 %, where that is not there, 1 and 7 over scratch: variances 2 and 18, pooled 10; the second
    # has its own, with one degree of freedom.
    assert lines.baseline["cosine", 0.05] == "pretraining scratch"
    half = lines.high - lines.difference
    assert half["cosine", 0.01] == pytest.approx(4.303 * (10 / 2) ** 0.5, abs=0.01)
    assert half["cosine", 0.05] == pytest.approx(12.706 * (18 / 2) ** 0.5, abs=0.01)


def test_the_strongest_baseline_is_one_of_those_with_most_seeds(sections, folder):
    (folder / "pretraining" / "scratch-long-0.01-0.json").unlink()
    found = study_report.collect(sections, folder=folder)
    assert study_report.strongest(found, "pretraining", 0.01) == ("pretraining", "scratch")


def test_one_seed_has_a_difference_and_no_interval(sections, folder):
    for row in ("scratch", "scratch-long", "cosine"):
        (folder / "pretraining" / f"{row}-0.01-1.json").unlink()
    table = study_report.table(study_report.collect(sections, folder=folder), "pretraining", draws=50).set_index("row")
    assert table.difference["cosine"] == 9 and np.isnan(table.low["cosine"]) and table.pairs["cosine"] == 1


def test_xmodel_against_every_row_and_fewer_labels_against_all(sections, folder):
    sections["study"]["fractions"] = [0.01, 0.05, 0.25]
    for seed, (first, second) in enumerate([(50, 60), (52, 63)]):
        for block in ("pretraining", "unlabelled"):
            write(folder, block, "xmodel", 0.01, seed, first)
            write(folder, block, "xmodel", 0.05, seed, second)
        write(folder, "pretraining", "cosine", 0.01, seed, 49)
        write(folder, "pretraining", "cosine", 0.05, seed, 58)
        write(folder, "pretraining", "scratch", 0.25, seed, 48 + 4 * seed)
    found = study_report.collect(sections, folder=folder)
    lines = study_versus.versus(found, "pretraining", draws=50).set_index(["over", "fraction"])
    # 1 and 3, 2 and 5: variances 2 and 4.5, pooled 3.25 with two degrees of freedom.
    assert lines.difference["cosine", 0.01] == pytest.approx(2) and lines.difference["cosine", 0.05] == 3.5
    half = lines.high - lines.difference
    assert half["cosine", 0.01] == pytest.approx(4.303 * (3.25 / 2) ** 0.5, abs=0.01) == half["cosine", 0.05]
    assert lines.pairs.eq(2).all() and "xmodel" not in lines.index.get_level_values("over")
    fewer = study_versus.fewer(found, draws=50)
    assert set(fewer.over) == {"scratch"}  # scratch-long is not there
    fewer = fewer.set_index(["block", "row"])
    # At 5 % of the labels 60 and 63, where scratch has 48 and 52 at 25 %: 12 and 11.
    own = fewer.loc[("unlabelled", "xmodel")]
    assert own.difference == pytest.approx(11.5) and own.spread == pytest.approx(0.5**0.5)
    assert (own.fraction, own.scratch) == (0.05, 0.25)
    assert set(fewer.index) == {("pretraining", "cosine"), ("pretraining", "xmodel"), ("unlabelled", "xmodel")}
    sections["study"]["fractions"] = [0.01, 0.05, 0.25, 1]
    assert study_versus.fewer(study_report.collect(sections, folder=folder), draws=50).empty


def test_the_best_of_the_others_is_of_either_block(sections, folder):
    sections["study"]["fractions"] = [0.01, 0.05, 0.25]
    for seed in (0, 1):
        for fraction, hits in ((0.01, 60), (0.05, 70)):
            write(folder, "unlabelled", "xmodel", fraction, seed, hits + 2 * seed)
        write(folder, "unlabelled", "cosine", 0.01, seed, 51 + 3 * seed)  # mean 52.5; without these frames 51
        write(folder, "unlabelled", "ppkt", 0.05, seed, 60)
        write(folder, "pretraining", "ppkt", 0.05, seed, 64 + seed)
        write(folder, "pretraining", "lidar-ssl", 0.05, seed, 80)  # sees no image, so is none of them
    lines = study_versus.of_others(study_report.collect(sections, folder=folder), draws=50).set_index("fraction")
    assert lines.block.to_dict() == {0.01: "unlabelled", 0.05: "pretraining"}
    assert lines.over.tolist() == ["cosine", "ppkt"]
    assert lines.difference.tolist() == pytest.approx([8.5, 6.5])  # 9 and 8, 6 and 7: the same variance, 0.5
    assert (lines.high - lines.difference).tolist() == pytest.approx([4.303 * (0.5 / 2) ** 0.5] * 2, abs=0.01)
    for file in (folder / "unlabelled").glob("xmodel-*"):
        file.unlink()
    assert study_versus.of_others(study_report.collect(sections, folder=folder), draws=50).empty


def test_a_row_whose_last_seeds_are_not_run_yet_stays_the_baseline(sections, folder):
    """Where it is stronger on the seeds that both have: here 41 and 45 to 40 and 42, and not the mean of three, 57.3."""
    sections["study"]["seeds"] = [0, 1, 2]
    write(folder, "pretraining", "scratch", 0.01, 2, 90)
    found = study_report.collect(sections, folder=folder)
    assert study_report.strongest(found, "pretraining", 0.01) == ("pretraining", "scratch-long")
    (folder / "pretraining" / "scratch-long-0.01-1.json").unlink()  # one of three is too few
    found = study_report.collect(sections, folder=folder)
    assert study_report.strongest(found, "pretraining", 0.01) == ("pretraining", "scratch")


def test_rows_with_all_steps_are_compared_with_those_that_have_as_many(sections, folder):
    sections["study"]["fractions"] = sections["study"]["full"]["fractions"] = [0.01, 0.05]
    for seed in (0, 1):
        write(folder, "pretraining", "scratch", 0.05, seed, 40)
        for fraction in (0.01, 0.05):
            write(folder, "pretraining-full", "scratch", fraction, seed, 60 + seed)
            write(folder, "unlabelled-full", "xmodel", fraction, seed, 63 + seed)
    found = study_report.collect(sections, folder=folder)
    table = study_report.table(found, "unlabelled-full", draws=50)
    assert table.baseline.eq("pretraining-full scratch").all() and table.difference.tolist() == [3, 3]
    line = study_versus.fewer(found, draws=50).set_index(["block", "row"]).loc[("unlabelled-full", "xmodel")]
    assert (line.fraction, line.scratch) == (0.01, 0.05) and line.difference == pytest.approx(3)


def test_rows_without_images_for_twice_the_steps_are_rivals_of_those_that_have_as_many(sections, folder):
    sections["study"]["full"]["fractions"] = [0.01]
    for seed in (0, 1):
        write(folder, "pretraining-full", "scratch", 0.01, seed, 60 + seed)
        write(folder, "pretraining-full", "scratch-long", 0.01, seed, 61 + seed)
        for row, hits in (("lidar-ssl-long", 63), ("xmodel", 65), ("xmodel-long", 66)):
            write(folder, "unlabelled-full", row, 0.01, seed, hits + seed)
    found = study_report.collect(sections, folder=folder)
    table = study_report.table(found, "unlabelled-full", draws=50).set_index("row")
    assert table.baseline.to_dict() == {
        "xmodel": "pretraining-full scratch-long",
        "xmodel-long": "unlabelled-full lidar-ssl-long",
        "lidar-ssl-long": "",
    }
    assert table.difference["xmodel"] == 4 and table.difference["xmodel-long"] == 3


def test_a_gain_at_equal_steps_is_over_scratch_and_of_twice_the_steps_over_scratch_long(sections, folder):
    sections["study"]["full"]["fractions"] = [0.01]
    for seed in (0, 1):
        for row, hits in (("scratch", 60), ("scratch-long", 61)):
            write(folder, "pretraining-full", row, 0.01, seed, hits + seed)
        for row, hits in (("lidar-ssl-long", 63), ("xmodel", 65), ("xmodel-long", 66)):
            write(folder, "unlabelled-full", row, 0.01, seed, hits + seed)
    lines = study_versus.equal(study_report.collect(sections, folder=folder), draws=50)
    found = {(line.block, line.row): (line.over, line.difference) for line in lines.itertuples()}
    assert {key: value for key, value in found.items() if key[0] == "unlabelled-full"} == {
        ("unlabelled-full", "lidar-ssl-long"): ("scratch-long", 2),
        ("unlabelled-full", "xmodel"): ("scratch", 5),
        ("unlabelled-full", "xmodel-long"): ("scratch-long", 5),
    }
    assert found["pretraining", "cosine"] == ("scratch", 10)  # of its own block, after as few steps
    assert not any(row.startswith("scratch") for _, row in found)


def test_gains_by_distance_coverage_and_class(sections, folder):
    found = study_report.collect(sections, folder=folder)
    rows = ("pretraining", "cosine"), ("pretraining", "scratch")
    near = study_origin.where(found, *rows, 0.01, "distance")
    assert near.iloc[0] == pytest.approx(10) and near.iloc[1:].isna().all()
    hidden, seen = study_origin.where(found, *rows, 0.01, "coverage")
    assert hidden == pytest.approx(10) and np.isnan(seen)
    classes = study_origin.by_class(found, *rows, 0.01)
    assert classes.gain.tolist() == pytest.approx([10, 10]) and classes.points.tolist() == [300, 300]


def test_a_class_keeps_its_name_where_the_names_have_another_order(sections, folder):
    for row, (first, second) in (("scratch", (40, 20)), ("cosine", (45, 50))):
        for seed in (0, 1):
            counts = np.zeros((3, 2, 3), np.int64)
            counts[:, 0], counts[:, 1] = (first, 100 - first, 0), (2 * second, 200 - 2 * second, 0)
            write(folder, "pretraining", row, 0.01, seed, 0)
            file = folder / "pretraining" / f"{row}-0.01-{seed}.json"
            cell = read_json(file) | {"miou": (first + second) / 2, "iou": {"b": first, "a": second}}
            both = np.stack([counts.sum(0)] * 2)
            write_json(file, cell | {"counts": packed({"streets": counts, "distance": both, "coverage": both})})
    found = study_report.collect(sections, folder=folder)
    classes = study_origin.by_class(found, ("pretraining", "cosine"), ("pretraining", "scratch"), 0.01)
    assert classes.gain.to_dict() == pytest.approx({"b": 5, "a": 30}) and classes.points.to_dict() == {
        "b": 300,
        "a": 600,
    }
    write_json(file, read_json(file) | {"iou": {"b": 50.0, "a": 45.0}})
    with pytest.raises(XkdError, match="cosine-0.01-1.json: its counts give b 45.00, it says 50"):
        study_report.collect(sections, folder=folder)


def test_what_does_not_belong_together_is_refused(sections, folder):
    write(folder, "pretraining", "ppkt", 0.01, 0, 50, streets=2)
    with pytest.raises(XkdError, match="ppkt-0.01-0.json: was measured on other classes or streets"):
        study_report.collect(sections, folder=folder)
    with pytest.raises(XkdError, match="holds no cell"):
        study_report.collect(sections, folder=folder / "nothing")


def test_cells_of_another_processor_count_and_are_told(sections, folder, monkeypatch):
    assert "processors" not in study_report.size(study_report.collect(sections, folder=folder))
    monkeypatch.setattr(study_report, "precision", lambda p, cell, out: "float32" if cell.seed else "bfloat16")
    said = study_report.size(study_report.collect(sections, folder=folder))
    assert "Computed on different processors: 3 cells in bfloat16, 3 cells in float32." in said


def test_cells_of_another_version_are_left_out_and_counted(sections, folder, monkeypatch):
    write(folder, "pretraining", "cosine", 0.01, 7, 99)  # a seed that is no longer in params.yaml
    monkeypatch.setattr(
        study_report, "precision", lambda params, cell, out: "float32" if cell.row != "scratch" else None
    )
    found = study_report.collect(sections, folder=folder)
    assert found.stale == 2 and set(found.table.row) == {"scratch-long", "cosine"} and set(found.table.seed) == {0, 1}
    monkeypatch.setattr(study_report, "precision", lambda params, cell, out: None)
    with pytest.raises(XkdError, match="no cell of this study but 6 of other parameters"):
        study_report.collect(sections, folder=folder)


def test_the_variance_over_streets_is_the_sweeps():
    """The same counts as confusion matrices of two classes: what is missed of one is a false alarm of the other."""
    rng = np.random.default_rng(0)
    confusions = rng.integers(1, 100, (2, 3, 9, 2, 2))  # two rows, three seeds, nine streets
    hit = np.diagonal(confusions, axis1=-2, axis2=-1)
    counts = np.stack([hit, confusions.sum(-1) - hit, confusions.sum(-2) - hit], -1)
    expected = statistics.street_variance(*confusions, np.random.default_rng(5), 200)
    assert study_report._street_variance(*counts, np.random.default_rng(5), 200) == pytest.approx(expected)


def test_a_score_is_what_its_counts_give(sections, folder):
    file = folder / "pretraining" / "scratch-0.01-0.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"miou": 60.0}))
    with pytest.raises(XkdError, match="its counts give mIoU 40.00, it says 60"):
        study_report.collect(sections, folder=folder)


def test_stages_list_their_params_and_imports():
    sections = set(params.read())
    for name, notebook in (("cells", "06_cells"), ("report", "06_study")):
        stage, path = STAGES[name], f"notebooks/{notebook}.ipynb"
        assert set(stage["params"]) == sections & set(test_pipeline.parameters(path)), name
        code = {dep for dep in stage["deps"] if dep.endswith(".py")}
        assert code == test_pipeline.closure(ast.parse(test_pipeline.code(path)[0])), name
        assert {path, "xkd/native.cpp"} <= set(stage["deps"])
    assert all(stage["wdir"] == ".." for stage in STAGES.values())


def test_every_row_is_a_stage_and_no_cell_is_an_out():
    """DVC removes the outs of a stage before it runs again; a row goes on with the cells that are there."""
    rows = STAGES["cells"]["matrix"]["row"]
    assert [(row["block"], row["name"]) for row in rows] == [(b, r) for b, names in study.ROWS.items() for r in names]
    assert STAGES["cells"]["outs"] == ["out/notebooks/study/${item.row.block}-${item.row.name}.ipynb"]
    assert "metrics" not in STAGES["cells"] and {"study/metrics", "out/notebooks/study"} <= set(
        STAGES["report"]["deps"]
    )


def test_intervals_to_one_baseline_hold_the_truth():
    """Sixteen rows of three seeds less one baseline of the same spread: carefully about 95 of 100 intervals hold 0; pooled alone, fewer."""
    rng, held = np.random.default_rng(0), {False: [], True: []}
    for _ in range(150):
        lists = dict(enumerate(rng.normal(size=(16, 3)) - rng.normal(size=3)))
        for careful, inside in held.items():
            found = statistics.paired(lists, dict.fromkeys(lists, 0.0), careful=careful)
            inside += list((found.low < 0) & (found.high > 0))
    assert 0.93 < np.mean(held[True]) < 0.97 and np.mean(held[False]) < np.mean(held[True])


def test_intervals_hold_the_truth_where_one_list_varies_most():
    """Four lists of five seeds, the first as much wider as 1 % of the labels is: carefully 95 of 100 of its own intervals hold 0."""
    rng, held = np.random.default_rng(0), {False: [], True: []}
    for _ in range(800):
        lists = dict(enumerate(rng.normal(size=(4, 5)) * np.array([[2.0], [1.0], [0.9], [0.6]])))
        for careful, inside in held.items():
            found = statistics.paired(lists, dict.fromkeys(lists, 0.0), careful=careful)
            inside.append(found.low[0] < 0 < found.high[0])
    assert np.mean(held[True]) > 0.93 and np.mean(held[False]) < 0.85


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ([], r"has to hold an object and holds '\[\]'"),
        ({"fraction": 0.5}, "scratch-0.01-0.json: holds the cell pretraining/scratch-0.5-0, not what its name says"),
        ({"block": "linear"}, "holds the cell linear/scratch-0.01-0, not"),
        ({"streets": "a"}, "streets has to be a list"),
        ({"counts": {"streets": [[1, 2, 3], "eJw"]}}, "its counts cannot be unpacked"),
        ({"counts": {"streets": [[1, 2, 3], "eJwBAAD//wAAAAE="]}}, "its counts cannot be unpacked"),
        ({"counts": {}}, "has no key counts.streets"),
        ("miou", "has no key miou"),
        ("seed", "has no key seed"),
        ("lr", "has no key lr"),
    ],
)
def test_a_cell_that_is_damaged_is_named(sections, folder, changed, said):
    file = folder / "pretraining" / "scratch-0.01-0.json"
    cell = json.loads(file.read_text())
    if isinstance(changed, str):
        del cell[changed]
    file.write_text(json.dumps(cell | changed if isinstance(changed, dict) else cell if changed else changed))
    with pytest.raises(XkdError, match=said):
        study_report.collect(sections, folder=folder)
