"""What the perturbations of a run are, by its config or else by their names."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lit_unlearn.questions.similar_ngrams import CLASSES, Similarity


class Kind(NamedTuple):
    """A perturbation by n-grams."""

    n: int
    similarity: Similarity | None
    family: str
    """What else sets it apart; empty for one text in a wrong option."""


def kinds(names: list[str], config: Mapping[str, Any]) -> dict[str, Kind]:
    """The perturbations by n-grams, by name.

    Args:
        names: of perturbations.
        config: of a run; one of a DataModule with perturbations of its own says nothing of them, their names do.

    Example:
        >>> kinds(["4-gram", "near"], {"data": {"perturbations": {"near": {"n": 2, "similarity": "most"}}}})
        {'4-gram': Kind(n=4, similarity=None, family=''), 'near': Kind(n=2, similarity='most', family='')}
    """
    sources = _sources(config.get("data"))
    found = {name: _by_source(sources[name]) if name in sources else _by_name(name) for name in names}
    return {name: kind for name, kind in found.items() if kind is not None}


def _sources(options: Any) -> Mapping[str, Any]:
    """The first `perturbations` within some options."""
    if not isinstance(options, dict):
        return {}
    within = options.get("perturbations")
    return within if isinstance(within, dict) else next(filter(None, map(_sources, options.values())), {})


def _by_source(source: Mapping[str, Any]) -> Kind | None:
    if not isinstance(source.get("n"), int):
        return None
    position, count = source.get("position") or "option", source.get("count") or 1
    family = ", ".join(filter(None, (position * (position != "option"), f"{count} at once" * (count > 1))))
    return Kind(source["n"], source.get("similarity"), family)


def _by_name(name: str) -> Kind | None:
    """Of names such as `4-gram` and `4-gram most`."""
    found = re.search(r"(\d+)-gram", name)
    if not found:
        return None
    words = re.split(r"[\s_,-]+", name.replace(found[0], ""))
    similarity = next((one for one in CLASSES if one in words), None)
    return Kind(int(found[1]), similarity, " ".join(word for word in words if word and word != similarity))
