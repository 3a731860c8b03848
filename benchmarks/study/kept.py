"""What the repository keeps of a study: of each fit a compressed file with what its tables read.

A study's tables are made of these files alone, so that they can be made again without a fit, and a later study goes on
with those that are there. `lit-unlearn report` and `lit-unlearn verify` read them too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.study.digests import digest_of_config
from lit_unlearn.commands.sweep.grid import Point
from lit_unlearn.errors import InputError
from lit_unlearn.questions import excess
from lit_unlearn.questions.outcomes import LOGPROBS
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import write_whole
from lit_unlearn.runs.results_file import compressed, read_results, results_file

FOLDER = Path("docs/results")
"""Of all studies, each with a folder of its name, as in `runs/`."""
_DISTANCES = tuple(f"excess_{first}-{last}" for first, last in excess.DISTANCES)


class KeptFits:
    """The kept results of a study's fits.

    Args:
        folder: of the study's kept results; the folders in it are those of its fits.
        runs: folder where its fits write.
        shared: what all fits have in common, by option, with digests of files instead of their paths.
    """

    def __init__(self, folder: Path, runs: Path, shared: Mapping[str, str]) -> None:
        self.folder = folder
        self.runs = runs
        self._shared = shared

    def missing(self, points: Iterable[Point]) -> list[Point]:
        """The fits whose results are not kept.

        Raises:
            InputError: what is kept of one was made with other options, another config or other files, or cannot be
                read.
        """
        found = []
        for point in points:
            path = self._path(point)
            if not path.is_file():
                found.append(point)
                continue
            check_made_with(path, self._made_with(point))
        return found

    def keep(self, points: Iterable[Point]) -> None:
        """Writes what is kept of finished fits."""
        for point in points:
            run, path = self.runs / point.folder, self._path(point)
            results, record = (read_results(run / name) for name in (layout.RESULTS, layout.RECORD))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, compressed({"made_with": self._made_with(point), **_kept(results, record)}))

    def _path(self, point: Point) -> Path:
        return self.folder / point.folder / layout.KEPT_RESULTS

    def _made_with(self, point: Point) -> dict[str, str]:
        """Options by name; paths of other fits are relative to the study's folder, and a config has its digest."""
        return made_with({**self._shared, **point.options}, self.runs)


def made_with(options: Mapping[str, str], runs: Path) -> dict[str, str]:
    """Options by name; paths of other fits are relative to the study's folder, and a config has its digest.

    Args:
        options: of a fit.
        runs: folder where its study's fits write.
    """
    own = {name: value.replace(f"{runs}/", "") for name, value in options.items()}
    return own | {"config": f"{own['config']} {digest_of_config(own['config'])}"}


def check_made_with(path: Path, made: Mapping[str, str]) -> None:
    """What is kept was made with the options that its fit has now.

    Args:
        path: of the kept file.
        made: the options now, by name.

    Raises:
        InputError: it was made otherwise, or cannot be read.
    """
    kept = _kept_with(path)
    for name in sorted({**made, **kept}):
        if made.get(name) != kept.get(name):
            raise InputError(
                f"{path} was made with another {name}: {kept.get(name)}, now {made.get(name)}; move what is kept away, "
                "or give another folder (--results)"
            )


def _kept_with(path: Path) -> dict[str, str]:
    try:
        return {**read_results(path)["made_with"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not what a study keeps ({error!r}); restore it, or remove it, and its fit is run again"
        ) from error


def seeds(folder: Path) -> set[str]:
    """The seeds of which there are results of a row, as names of folders."""
    return {path.name for path in folder.glob("seed-*") if results_file(path)}


def comparable(folder: Path, rows: Sequence[str], method: str = "method") -> list[str]:
    """The rows of which there are the seeds that the method has; says which have others.

    Args:
        folder: of a setting.
        rows: their folders.
        method: folder of the method.
    """
    of_method = seeds(folder / method)
    others = [row for row in rows if seeds(folder / row) not in (of_method, set())]
    for row in others:
        print(f"{folder / row} is in no table: it has the seeds {_listed(folder / row)}, {method} has other ones")
    return [row for row in rows if seeds(folder / row) == of_method]


def _kept(results: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Results without what no table reads, and without places on a machine."""
    about = {name: results[name] for name in ("seed", "forget", "versions") if name in results}
    return {
        **about,
        "hyperparameters": _without_folder(results["hyperparameters"], "pretrained"),
        "run": _without_folder(record, "model"),
        "evaluations": [dict(_evaluation(one, results["forget"])) for one in results["evaluations"]],
    }


def _evaluation(record: Mapping[str, Any], forget: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """A record without log-probabilities of what is to be kept, excess by distance, and rules that read no question."""
    for name, value in record.items():
        if name in ("outcomes", "measured"):
            yield name, {one: row if one in forget else _without(row, LOGPROBS) for one, row in value.items()}
        elif name == excess.PREFIX:
            spans = {one: {**row, "excess": {}} for one, row in value["outcomes"]["spans"].items()}
            measured = {one: _without(row, _DISTANCES) for one, row in value["measured"].items()}
            yield name, {**value, "measured": measured, "outcomes": {**value["outcomes"], "spans": spans}}
        elif name != "baselines":
            yield name, value


def _without(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Without some numbers and their errors."""
    return {name: value for name, value in row.items() if name.removesuffix("_error") not in names}


def _without_folder(about: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What is said of a run; of a model in a folder the folder's name alone."""
    path = Path(about[model])
    return {**about, model: path.name if path.is_dir() else about[model]}


def _listed(folder: Path) -> str:
    return ", ".join(sorted(one.removeprefix("seed-") for one in seeds(folder)))
