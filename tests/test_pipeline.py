"""dvc.yaml says what the notebooks do: params, parameters, imported modules and deps agree, and dvc.lock is of this tree."""

import ast
import hashlib
import json
import re

import nbformat
import pytest
import yaml

from xkd import ROOT, params
from xkd.datasets import kinds
from xkd.needs import imports, module_file, with_reader

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NOTEBOOK_STAGES = {name: stage for name, stage in STAGES.items() if "xkd.stage" in stage["cmd"]}
CHOSEN = {"xkd.backbones": "student.backbone", "xkd.datasets": "data.kind", "xkd.teachers": "teacher.name"}
"""Packages that open one of their modules by a word of params.yaml: a stage depends on that one, so that another added runs nothing."""
IDLE = {"xkd.smoke"}
"""Works in out/smoke alone: in a pipeline run it returns at once, and what it would import is not part of the stage."""


def closure(tree):
    """Files (relative to the checkout) of all modules that running this code imports."""
    waiting, seen, chosen = imports(tree), set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in CHOSEN:
            section, key = CHOSEN[name].split(".")
            waiting.add(f"{name}.{params.read()[section][key]}")
            chosen.add(f"{name.replace('.', '/')}/${{{CHOSEN[name]}}}.py")
        if name not in IDLE | {"xkd"}:
            waiting |= imports(ast.parse(module_file(name).read_text()))
    seen |= {name.rpartition(".")[0] for name in seen if "." in name} | {"xkd", "xkd.errors"}
    files = {str(module_file(name).relative_to(ROOT)) for name in seen}
    return files - set(map(filled, chosen)) | chosen


def filled(text):
    """A path of dvc.yaml with the words of params.yaml that it names."""
    for name in CHOSEN.values():
        section, key = name.split(".")
        text = text.replace(f"${{{name}}}", str(params.read()[section][key]))
    return text


def code(notebook):
    cells = nbformat.read(ROOT / notebook, 4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code"), cells


def parameters(notebook):
    cells = [c for c in code(notebook)[1] if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1, f"{notebook} has {len(cells)} cells tagged parameters"
    return [target.id for node in ast.parse(cells[0].source).body for target in node.targets]


def notebook_of(stage):
    return re.search(r"notebooks/\w+\.ipynb", stage["cmd"])[0]


@pytest.mark.parametrize("name", NOTEBOOK_STAGES)
def test_params_and_parameters_agree(name):
    stage = STAGES[name]["do"] if "do" in STAGES[name] else STAGES[name]
    sections, names = set(params.read()), parameters(notebook_of(stage))
    assert {param.split(".")[0] for param in stage["params"]} == sections & set(names)
    given = set(re.findall(r"-p (\w+) ", stage["cmd"]))
    assert given == set(names) - sections


@pytest.mark.parametrize("name", NOTEBOOK_STAGES)
def test_deps_are_what_the_notebook_imports(name):
    stage = STAGES[name]
    notebook = notebook_of(stage)
    listed = {dep for dep in stage["deps"] if dep.startswith(("xkd/", "notebooks/"))}
    assert {dep for dep in listed if dep.endswith(".py")} == closure(ast.parse(code(notebook)[0]))
    assert notebook in listed
    assert ("xkd/native.cpp" in listed) == ("xkd/native.py" in listed)


def test_a_cell_depends_on_every_number_but_the_other_inits():
    """`finetune` is listed key by key, so that another init's learning rate is no reason to run a cell again."""
    listed = {param for param in STAGES["finetune"]["params"] if param.startswith("finetune.")}
    keys = set(params.read()["finetune"])
    assert listed == {f"finetune.{key}" for key in keys - {"lr"}} | {"finetune.lr.${item.init}"}
    listed = {param for param in STAGES["xmodel"]["params"] if param.startswith("finetune.")}
    assert listed == {f"finetune.{key}" for key in keys - {"lr"}} | {"finetune.lr.xmodel"}


def test_views_depend_on_what_gathers_them():
    stage = STAGES["views"]
    assert {dep for dep in stage["deps"] if dep.endswith(".py")} == closure(ast.parse("import xkd.gather"))
    assert stage["params"] == ["data", "teacher", "views"]  # all that xkd.gather.main reads


def test_a_fresh_start_depends_on_what_makes_it():
    listed = {dep for dep in STAGES["scratch"]["deps"] if dep.endswith(".py")}
    assert listed == closure(ast.parse("import xkd.init"))


@pytest.mark.parametrize("pipeline", ["dvc.yaml", "study/dvc.yaml"])
@pytest.mark.parametrize("kind", kinds())
def test_in_a_copy_stages_depend_on_what_their_reader_imports(monkeypatch, kind, pipeline):
    text = (ROOT / pipeline).read_text()
    stages = yaml.safe_load(with_reader(text, kind))["stages"]
    own = params.read()
    monkeypatch.setattr(params, "read", lambda: own | {"data": own["data"] | {"kind": kind}})
    reader = {filled(path) for path in closure(ast.parse("import xkd.datasets"))}
    assert f"xkd/datasets/{kind}.py" in reader
    for name, before in yaml.safe_load(text)["stages"].items():
        now = stages[name].pop("deps", [])
        if "xkd/datasets/${data.kind}.py" in before.get("deps", []):
            assert reader <= set(map(filled, now)), name
        assert len(now) == len(set(now)) and set(before.pop("deps", [])) <= set(now)
        assert stages[name] == before
    assert kind != own["data"]["kind"] or with_reader(text, kind) == text


def test_every_class_fact_is_a_dep():
    reader = "xkd/datasets/labels/${data.kind}.yaml"
    assert all(reader in STAGES[name]["deps"] for name in ("prepare", "teacher", "views"))
    assert "xkd/datasets/labels/cityscapes.yaml" in STAGES["teacher"]["deps"]  # the corpus of the teacher `mini`
    assert all((ROOT / "xkd" / "datasets" / "labels" / f"{kind}.yaml").is_file() for kind in kinds())


def locked():
    """(stage's full name, its entry in dvc.lock, its entry in dvc.yaml) of every stage that was run."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    assert {name.partition("@")[0] for name in lock} == set(STAGES)
    return [(name, facts, STAGES[name.partition("@")[0]]) for name, facts in lock.items()]


def test_lock_is_of_this_tree():
    """The hashes of code, notebooks, class facts and params in dvc.lock are those of the working tree: a stale result cannot pass."""
    sections = params.read()
    for name, facts, stage in locked():
        files = {dep["path"]: dep["md5"] for dep in facts["deps"] if not dep["path"].startswith(("out/", "data/"))}
        assert set(files) == {filled(dep) for dep in stage["deps"] if not dep.startswith(("out/", "$"))}, name
        for path, md5 in files.items():
            assert hashlib.md5((ROOT / path).read_bytes()).hexdigest() == md5, f"{name}: {path} has changed since"
        given = facts.get("params", {}).get("params.yaml", {})
        assert len(given) == len(stage["params"]), name
        for key, value in given.items():
            now = sections
            for part in key.split("."):
                now = now[part]
            assert now == value, f"{name}: {key} has changed since"


def test_committed_results_are_those_of_the_lock():
    """DVC's hash of a folder: MD5 of the JSON list of its files' MD5 and relative paths."""
    (report,) = (facts for name, facts, _ in locked() if name == "report")
    (results,) = (out for out in report["outs"] if out["path"] == "docs/results")
    files = sorted(path for path in (ROOT / "docs" / "results").rglob("*") if path.is_file())
    entries = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": str(path.relative_to(ROOT / "docs" / "results"))}
        for path in files
    ]
    assert hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir" == results["md5"]
    for name, facts, _ in locked():
        for out in facts["outs"]:
            if out["path"].startswith("out/metrics/"):
                assert hashlib.md5((ROOT / out["path"]).read_bytes()).hexdigest() == out["md5"], name


def test_cells_of_the_lock_are_those_of_the_sweep():
    sweep = params.read()["sweep"]
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    wanted = {f"finetune@{f}-{i}-{s}" for f in sweep["fractions"] for i in sweep["inits"] for s in sweep["seeds"]}
    wanted |= {f"xmodel@{f}-{s}" for f in sweep["fractions"] for s in sweep["seeds"]}
    assert {name for name in lock if name.startswith(("finetune@", "xmodel@"))} == wanted


@pytest.mark.parametrize("notebook", sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb")))
def test_notebooks_tell_and_the_package_does(notebook):
    text, cells = code(f"notebooks/{notebook}")
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.While | ast.Lambda), notebook
    assert not any(c.get("outputs") or c.get("execution_count") for c in cells if c.cell_type == "code")
    assert cells[0].cell_type == "markdown"
    json.dumps(cells)
