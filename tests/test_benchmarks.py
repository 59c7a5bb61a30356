"""The page of the benchmarks is made from what they keep."""

import importlib
import os
import subprocess
import sys

import pytest

import xkd
from xkd.files import write_json

pytestmark = pytest.mark.usefixtures("benchmarks")
module = importlib.import_module


MACHINE = {"processor": "Maker 9", "cores": 2, "vectors": ["avx2"], "python": "3.11.7"}


def row(what, way, ms, ratio, **more):
    spread = {"low": ms, "high": ms, "ratio_low": ratio, "ratio_high": ratio}
    return {"what": what, "way": way, "ms": ms, "ratio": ratio} | spread | more


@pytest.fixture
def kept(tmp_path):
    """Results of two machines, of which one pairs 20 times as fast as the devkit and the other 10 times."""
    for name, ratio in (("maker-9-2cores-avx2", 20.0), ("other", 10.0)):
        rows = [row("pair a sweep with 6 cameras, from disk", "xkd", 4.0, 1.0, touched=2_000_000)]
        rows += [row("pair a sweep with 6 cameras, from disk", "nuscenes-devkit map_pointcloud_to_image", 80.0, ratio)]
        rows += [row("load and pair 6 images", "xkd", 50.0, 1.0), row("load and pair 6 images", "decoding", 40.0, 0.8)]
        rows += [row("prepare a frame of 6 images", "xkd", 100.0, 1.0, bytes=1_000_000)]
        rows += [{"what": "superpixel loss, peak of memory", "way": "xkd", "GiB": 2.0, "ratio": 0.6}]
        rows += [{"what": "superpixel loss, memory beside its inputs", "way": "xkd", "GiB": 0.5, "ratio": 0.2}]
        about = {"machine": MACHINE, "quick": False}
        write_json(tmp_path / f"hot_paths-{name}.json", about | {"rows": rows, "failed": {"voxels": "no peer"}})
        rates = [("copy memory", "GB/s", 10.0), ("decode JPEG", "Mpixel/s", 54.0)]
        rates = [{"what": w, "threads": 1, "unit": u, "rate": r, "low": r, "high": r} for w, u, r in rates]
        write_json(tmp_path / f"bounds-{name}.json", about | {"rows": rates})
    return tmp_path


def test_page_says_what_was_kept(kept):
    table, sections = module("table"), module("sections")
    results = table.read("maker-9-2cores-avx2", kept)
    assert set(results) == {"hot_paths", "bounds"}
    found = {target["name"]: target for target in table.targets(results)}
    assert found["pairing"]["value"] == 20 and found["pairing"]["reached"]
    assert found["load and pair"]["value"] == 1.25 and found["load and pair"]["reached"]
    assert not found["superpixel loss, memory, inputs included"]["reached"]
    assert found["superpixel loss, memory beside inputs"]["reached"]
    page = sections.page(results, list(found.values()), [])
    assert "Maker 9, 2 cores, avx2" in page and "voxels: not measured (no peer)" in page
    assert "| pairing | 20 | at least 15 | reached |" in page
    assert "| superpixel loss, memory, inputs included | 0.6 | at most 0.5 of SLidR's form | **missed** |" in page
    # 2 MB at 10 GB/s take 0.2 ms, a twentieth of 4 ms.
    assert "| pair a sweep with 6 cameras, from disk | xkd | 4 [4, 4] | 1 | 20 |" in page
    other = table.targets(table.read("other", kept))
    assert not next(target for target in other if target["name"] == "pairing")["reached"]


def test_a_machine_that_kept_nothing_is_said(kept):
    with pytest.raises(xkd.XkdError, match="holds no results of elsewhere; there are maker-9-2cores-avx2, other"):
        module("table").read("elsewhere", kept)


def test_without_results_the_page_says_so(tmp_path):
    assert "run `make bench`" in module("sections").page(module("table").read(None, tmp_path), [], [])


def test_plan_by_hand(kept):
    plan = module("plan")
    row = {"student": "spunet, 39 M", "batch": 16}
    rows = [row | {"what": "cosine", "frames/s": 10}, row | {"what": "fine-tuning", "frames/s": 20}]
    others = [row | {"batch": 32, "what": "cosine", "frames/s": 9}, rows[0] | {"student": "unet", "frames/s": 8}]
    card = plan.card_rates([others[0], *rows, others[1]])
    assert (card["cosine"], card["fine-tuning"]) == (10, 20)
    eager, compiled = ({"teacher": "ViT-S/14", "way": way, "images/s": 600} for way in ("as the pipeline does", "else"))
    # At half their size images have 32 x 57 cells of 14 pixels: 2 x 22e6 operations each, and 4 x 384 x 12 with each.
    teacher = plan.sustained([compiled, eager])
    assert teacher == pytest.approx(600 * (44e6 * 1824 + 4 * 384 * 12 * 1824**2))
    found = {stage: (rate, own) for stage, rate, own in plan.hours(module("table").read("other", kept), card, teacher)}
    # 16 cores make a frame in 100 ms each; they decode 54 Mpixel/s each, of which a frame has 8.64.
    assert found["prepare"][0] == 160 and found["teacher"][0] == pytest.approx(100)
    one, eight = found["distill"][1]["ten million"]
    assert one == pytest.approx(1e7 / 10 / 3600) and eight == pytest.approx(one / 8 / plan.SHARED)
    with pytest.raises(xkd.XkdError, match="no card has a rate of cosine"):
        plan.card_rates(rows[1:])
    with pytest.raises(xkd.XkdError, match="no card has a rate of the teacher"):
        plan.sustained([compiled])


def test_the_gpu_page_has_the_results_that_are_kept():
    page = module("card_page")
    text = page.PAGE.read_text()
    assert page.written(text) == text and len(page.kept("card")) > len(page.kept("card-teachers")) > 0
    with pytest.raises(xkd.XkdError, match="gpu.md: the markers of the block 'teachers' are not there once"):
        page.written(text.replace("<!-- teachers", "<!-- others"))


def test_the_plan_of_quick_benchmarks_has_the_cards_rates():
    """These keep their results elsewhere, where no card's are."""
    code = "import sys; sys.path.insert(0, 'benchmarks'); import plan; print(plan.paper({}))"
    environment = os.environ | {"XKD_BENCH_QUICK": "1", "PYTHONPATH": str(xkd.ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    said = subprocess.run(command, cwd=xkd.ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    assert said.count("not measured") == 2 and "| distill | 104 |" in said


def test_slope_by_hand():
    assert module("timing").slope([1, 2, 4], [3, 12, 48]) == pytest.approx(2)


def test_ratios_are_of_the_same_round(capsys):
    ours, peer = module("timing").rows_of("x", {"xkd": [1.0, 2.0, 4.0], "peer": [3.0, 4.0, 20.0]})
    assert ours["ratio"] == 1 and peer["ratio"] == 3 and peer["ms"] == 4


def test_memory_of_a_thousand_frames_by_hand():
    rows = [
        {"frames": n, "seconds": n, "anonymous": 300 + n / 10, "file": 5, "highest": m}
        for n, m in ((100, 1), (200, 4), (300, 1))
    ]
    line = module("memory").line(rows)
    assert (line["anonymous_base"], line["anonymous_per_thousand"], line["anonymous_error"]) == (300, 100, 0)
    # Flat but for chance: residuals -1, 2, -1 leave sqrt(6 / 1 / 0.02) to the slope.
    assert line["highest_per_thousand"] == 0 and line["highest_error"] == pytest.approx(17.3)
    assert line["time_slope"] == 1


def test_shares_of_another_machine_go_with_the_results(kept):
    write_json(kept / "occlusion-another.json", {"machine": MACHINE, "rows": [], "settings": {}})
    table = module("table")
    for name in ("maker-9-2cores-avx2", "other"):
        assert set(table.read(name, kept)) == {"hot_paths", "bounds", "occlusion"}
    with pytest.raises(xkd.XkdError, match="there are maker-9-2cores-avx2, other"):
        table.read("another", kept)


def test_every_section_and_picture(tmp_path):
    about, memory = {"machine": MACHINE}, module("memory")
    rows = [
        {"frames": n, "seconds": n, "anonymous": 100 + n, "file": 5, "highest": 9, "disk": n} for n in (60, 120, 240)
    ]
    grown = {
        "path": "pairing",
        "against": "points",
        "x": [1, 2],
        "ms": [3, 6],
        "low": [3, 6],
        "high": [3, 6],
        "slope": 1.0,
    }
    parts = dict.fromkeys(module("step").PARTS, 2.0)
    steps = [
        row("", "", 8.0, r) | {"what": "distill", "processes": 1, "loops": name}
        for name, r in (("spconv", 1), ("float32", 2.0))
    ]
    cut = {
        "ms_25": 1,
        "ms_50": 1,
        "ms_75": 1,
        "ratio_25": 12,
        "ratio_50": 12,
        "ratio_75": 12,
        "image": "4x2",
        "purity": 1,
        "segments": 2,
    }
    opened = {
        "what": "first opening",
        "frames": 9,
        "open_s": 6.0,
        "open_cpu_s": 6.0,
        "peak_mb": 9,
        "frame_ms": 1,
        "cameras_ms": 1,
    }
    objective = {"phase": "pretraining", "way": "ppkt", "ms": 70.0, "ratio": 1.4, "MB": 300.0}
    objective |= {f"{name}_{end}": objective[name] for name in ("ms", "ratio", "MB") for end in ("low", "high")}
    results = {
        "superpixels": about
        | {"rows": [cut | {"method": m, "recall": r} for m, r in (("slic", 0.8), ("scikit-image slic", 0.9))]},
        "index": about
        | {
            "scenes": 2,
            "tables": {"a": 1},
            "cache": 1,
            "slopes": {"open_cpu_s": 1},
            "growth": [opened],
            "rows": [opened],
        },
        "growth": about | {"rows": [grown | {"expected": 1.0}]},
        "memory": about | {"rows": rows, "lines": {"prepare": memory.line(rows)}},
        "step": about | {"rows": [own | parts | {"steps": 3} for own in steps]},
        "objectives": about | {"rows": [objective]},
    }
    found = module("table").targets(results)
    drawn = module("pictures").save(results, found, tmp_path)
    assert drawn == ["targets", "growth", "step"] and all(
        (tmp_path / f"{name}.png").stat().st_size > 5000 for name in drawn
    )
    page = module("sections").page(results, found, drawn)
    reached = {own["name"]: own["reached"] for own in found}
    # Twelve times as fast, but with less recall; twice the steps; an index that takes six seconds.
    assert (
        not reached["superpixels"]
        and reached["step of distill, 1 process"]
        and not reached["nuScenes' index, first opening"]
    )
    assert (
        "| prepare | 60, 120, 240 | 100 +1,000 ± 0 |" in page
        and "| pairing | points | 1 to 2 | 3 to 6 | +1.00 | +1 |" in page
    )
    assert "| pretraining | ppkt | 70 [70, 70] | 1.4 [1.4, 1.4] | 300 [300, 300] |" in page
    assert "**Not measured on it**: bounds, hot_paths, occlusion." in page and "| prepare | not measured |" in page
