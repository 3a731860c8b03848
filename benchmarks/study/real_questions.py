"""Questions of the study on real models: what forget text in them costs, by the texts of the answers.

Small models answer by letter at chance; so options are scored by their texts (cloze), and the same questions asked by
letter stand beside them in the table.
"""

import glob
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.study.digests import digest_of_file
from lit_unlearn.commands.report.cells import cell, shown
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.errors import InputError

LIMIT = 200
"""Questions, by default, evenly spread over all files."""
CALLBACK = "{class_path: PerturbationRobustness, init_args: {forget: []}}"
"""None of them is to be forgotten."""
CLOZE, LETTERS = "cloze", "letters"
CHANCE = 0.25
"""Of MMLU's four options."""
DRAW = 1
"""Of what is inserted, and where; `fit` takes 0."""


class Asked(NamedTuple):
    """Which questions are asked."""

    files: str
    """A local file of questions, or a pattern of paths, as `data.evaluation` takes them."""
    limit: int = LIMIT

    def option(self) -> str:
        """The value of `data.evaluation`."""
        return _evaluation(str(Path(self.files).absolute()), self.limit)

    def digest(self) -> str:
        """The same with a digest of the files instead of their paths.

        Raises:
            InputError: there is no such file.
        """
        found = sorted(glob.glob(self.files, recursive=True))
        if not found:
            raise InputError(f"--questions: {self.files}: no such file; give files of questions, such as mmlu/*.csv")
        digests = [f"{Path(path).name} {digest_of_file(Path(path))}" for path in found]
        return _evaluation(hashlib.sha256("\n".join(digests).encode()).hexdigest(), self.limit)


def note(models: Sequence[ReportedModel]) -> str:
    """What the table says of its answers by letter; empty where no questions were asked."""
    if LETTERS not in models[0].variants:
        return ""
    base = cell(models[0], LETTERS)
    at_chance = abs(base.value - CHANCE) <= 1.96 * base.error
    return (
        f"By letter the model before training answers {shown(base)} %, which is "
        f"{'at chance' if at_chance else 'not at chance'} ({100 * CHANCE:.0f} %)"
        f"{': read the columns of cloze, and none of letters' if at_chance else ''}. Cloze: the likeliest text of an "
        "option, which are scored after the question one by one; forget text is inserted after a word of the question "
        "(stem), or stands on a line before it.\n"
    )


def _evaluation(path: str, limit: int) -> str:
    source, inserted = {"path": path, "limit": limit}, {"sets": [CLOZE], "seed": DRAW}
    perturbations = {
        "16-gram in the stem": {"n": 16, "position": "stem", **inserted},
        "sentence before": {"n": "sentence", "position": "prefix", **inserted},
    }
    questions = {CLOZE: source | {"format": "cloze"}, LETTERS: source}
    return json.dumps({"questions": questions, "perturbations": perturbations})
