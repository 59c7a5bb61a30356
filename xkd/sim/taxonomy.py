"""The simulator's classes by name; the facts are in taxonomy.yaml."""

from pathlib import Path

import yaml

TAXONOMY = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
INDEX = {entry["name"]: index for index, entry in enumerate(TAXONOMY)}
THINGS = frozenset(index for index, entry in enumerate(TAXONOMY) if entry["thing"])
