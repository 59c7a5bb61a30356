"""Which modules of the package a module hangs on, by its import statements, and the deps of a copy's stages that follow from its reader.

dvc.yaml names the reader by its word in params.yaml and lists what the default one imports; what another imports is added in a copy.
"""

import ast
import re

import yaml

import xkd

READER = "xkd/datasets/${data.kind}.py"
LAZY = {"open_dataset": "xkd.datasets", "load": "xkd.student"}
"""What `xkd/__init__.py` opens only when it is called by that name."""


def module_file(name, root=None):
    """xkd.a.b -> its file, or None for what is not a module of the package."""
    base = (root or xkd.ROOT).joinpath(*name.split("."))
    return next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), None)


def imports(tree, root=None):
    """Names of the package's modules that this code imports, at the top or in a function, or opens through `xkd.<name>`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "xkd":
            found |= {LAZY[node.attr]} if node.attr in LAZY else set()
    return {name for name in found if name.split(".")[0] == "xkd" and module_file(name, root)}


def modules(name, root=None):
    """Files, relative to the checkout `root`, of all modules that this one imports, and they in turn; none if there is no such module."""
    root, waiting, found = root or xkd.ROOT, {name}, {"xkd": module_file("xkd", root)}
    while waiting:
        name = waiting.pop()
        if name not in found and (file := module_file(name, root)):
            found[name] = file
            waiting |= imports(ast.parse(file.read_text()), root)
    return {file.relative_to(root).as_posix() for file in found.values() if file}


def with_reader(text, kind, root=None):
    """dvc.yaml's text with all that the reader of this kind imports among the deps of every stage that has the reader among its own."""
    if READER not in text:
        return text
    needed = sorted(modules(f"xkd.datasets.{kind}", root) - {READER.replace("${data.kind}", kind)})
    with_it = (stage["deps"] for stage in yaml.safe_load(text)["stages"].values() if READER in stage.get("deps", ()))

    def lines(found):
        listed = next(with_it)
        return found[0] + "".join(f"{found[1]}{path}\n" for path in needed if path not in listed)

    return re.sub(rf"^( *- ){re.escape(READER)}\n", lines, text, flags=re.M)
