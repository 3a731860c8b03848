from typing import Any

import pytest

from lit_unlearn.commands.report.perturbations import Kind, kinds


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("4-gram", Kind(4, None, "")),
        ("4-gram most", Kind(4, "most", "")),
        ("least_16-gram", Kind(16, "least", "")),
        ("2-gram-mean-prefix", Kind(2, "mean", "prefix")),
        ("almost 2-gram", Kind(2, None, "almost")),
    ],
)
def test_a_name_says_what_it_is(name: str, kind: Kind) -> None:
    assert kinds([name], {}) == {name: kind}


def test_other_names_say_nothing() -> None:
    assert kinds(["SARS-CoV-2", "sentence"], {}) == {}


def test_the_config_says_more_than_a_name() -> None:
    sources: dict[str, Any] = {
        "4-gram": {"n": 2, "similarity": "least", "file": "a.json", "seed": 3, "sets": ["retain"]},
        "before": {"n": 4, "position": "prefix", "count": 2},
        "given": {"texts": ["SARS-CoV-2"], "n": None},
        "sentences": {"n": "sentence"},
    }
    config = {"data": {"class_path": "Data", "init_args": {"seed": 1, "evaluation": {"perturbations": sources}}}}
    assert kinds(["4-gram", "before", "given", "sentences", "8-gram"], config) == {
        "4-gram": Kind(2, "least", ""),
        "before": Kind(4, None, "prefix, 2 at once"),
        "8-gram": Kind(8, None, ""),
    }


def test_a_config_that_leaves_them_to_the_data_module_says_nothing() -> None:
    config = {"data": {"class_path": "DemoDataModule", "init_args": {"perturbations": None}}}
    assert kinds(["4-gram"], config) == {"4-gram": Kind(4, None, "")}
