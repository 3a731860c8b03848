"""The model of a run, evaluated again as its config says."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout


def evaluated_again(run: Path, results: Mapping[str, Any], evaluate: Callable[[list[str]], None]) -> dict[str, Any]:
    """The results of an evaluation of a run's model, in a folder of its own that is removed.

    Of a fit that is its export, of an evaluation the model that was evaluated. The run's folder is only read.

    Args:
        run: its folder.
        results: that are verified, for errors.
        evaluate: runs `lit-unlearn validate` with further words.

    Raises:
        InputError: the folder lacks what is needed.
    """
    config, export = run / layout.CONFIG, run / layout.EXPORT
    if not config.is_file():
        raise InputError(f"verify: {run} holds no {layout.CONFIG}; give the folder of the run that the results are of")
    trained = any(record["step"] for record in results["evaluations"])
    if trained and not export.is_dir():
        raise InputError(
            f"verify: {run} holds no {layout.EXPORT}/, so that its model cannot be evaluated; run with ExportPretrained"
        )
    with tempfile.TemporaryDirectory(prefix="lit-unlearn-verify-") as folder:
        again = Path(folder) / "again"
        model = ["--model", str(export)] if trained else []
        evaluate(["-c", str(config), *model, "--trainer.default_root_dir", str(again)])
        return dict(json.loads((again / layout.RESULTS).read_text(encoding="utf-8")))
