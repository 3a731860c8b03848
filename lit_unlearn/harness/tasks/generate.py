"""Writes the task file of every subject of MMLU and of their groups: `python -m lit_unlearn.harness.tasks.generate`.

Subjects and groups are those of the installed harness' own MMLU.
"""

from pathlib import Path
from typing import NamedTuple

import lm_eval
import yaml

from lit_unlearn.harness.tasks import folder

VARIANTS = {"mmlu_perturbed": "perturbed", "mmlu_perturbed_control": "control"}
_GROUPS = ("stem", "other", "social_sciences", "humanities")


class Subject(NamedTuple):
    """A subject of MMLU."""

    name: str
    group: str


def main() -> None:
    """Writes the files that are not as they should be."""
    for path, text in files().items():
        (folder() / path).parent.mkdir(exist_ok=True)
        (folder() / path).write_text(text, encoding="utf-8")


def files() -> dict[str, str]:
    """The text of each file, by its path in the tasks' folder."""
    written = {}
    subjects = _subjects()
    for family, variant in VARIANTS.items():
        for group in _GROUPS:
            members = [f"{family}_{subject.name}" for subject in subjects if subject.group == group]
            written[f"{family}/_{family}_{group}.yaml"] = _group(f"{family}_{group}", members)
        written[f"{family}/_{family}.yaml"] = _group(family, [f"{family}_{group}" for group in _GROUPS])
        for subject in subjects:
            written[f"{family}/{family}_{subject.name}.yaml"] = _task(family, variant, subject)
    return written


def _subjects() -> list[Subject]:
    own = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default"
    tasks = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(own.glob("mmlu_*.yaml"))]
    return [Subject(task["dataset_name"], task["tag"].removeprefix("mmlu_").removesuffix("_tasks")) for task in tasks]


def _task(family: str, variant: str, subject: Subject) -> str:
    return f"""\
include: ../_subject_yaml
task: {family}_{subject.name}
dataset_kwargs: {{subject: {subject.name}, variant: {variant}}}
"""


def _group(name: str, members: list[str]) -> str:
    listed = "".join(f"  - {member}\n" for member in members)
    return f"""\
group: {name}
task:
{listed}aggregate_metric_list:
  - metric: acc
    weight_by_size: true
metadata:
  version: 1.0
"""


if __name__ == "__main__":
    main()
