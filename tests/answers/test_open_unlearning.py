"""The numbers of open-unlearning (arXiv 2506.12618), whose functions were run on the demo model and these rows.

`open_unlearning.json` holds rows and values: of the model (`base`) and of the same with noise on its matrices
(`reference`). Its conventions end where docs/evaluation.md says.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from lit_unlearn.answers import outcomes
from lit_unlearn.answers.measures import Measured, measure
from lit_unlearn.answers.outcomes import Outcomes
from lit_unlearn.answers.plan import AnswerPlan, plan
from lit_unlearn.answers.source import AnswerSource, Role
from lit_unlearn.answers.token_scores import AnswerBatches, token_scores
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.scored_texts import ScoredBatches
from lit_unlearn.running.decoding import decode

PUBLISHED: dict[str, Any] = json.loads(Path(__file__).with_name("open_unlearning.json").read_text())
ROLES: dict[str, Role] = {"forget": "forget", "retain": "retain", "general": "general", "holdout": "holdout"}
MEMBERSHIP = ["loss", "zlib", "min_k", "min_k_plus"]
METRICS = ["probability", "ratio", "exact_memorisation", "rouge_recall", "rouge_f1", *MEMBERSHIP]
NEW_TOKENS = 8


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> AnswerPlan:
    folder = tmp_path_factory.mktemp("rows")
    sources = {}
    for name, role in ROLES.items():
        path = folder / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, PUBLISHED["sets"][name])))
        sources[name] = AnswerSource(str(path), role, chat_template=PUBLISHED["chat_template"])
    return plan(sources, load_tokenizer(ModelSource("demo")))


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return load_model(ModelSource("demo"), torch.float32)


@pytest.fixture(scope="module")
def found(planned: AnswerPlan, model: PreTrainedModel) -> Outcomes:
    return evaluated(planned, model)


@pytest.fixture(scope="module")
def reference(planned: AnswerPlan, model: PreTrainedModel) -> Outcomes:
    noisy, source = copy.deepcopy(model), torch.Generator().manual_seed(1)
    for parameter in noisy.parameters():
        if parameter.ndim > 1:
            parameter.data += 0.2 * parameter.data.std() * torch.randn(parameter.shape, generator=source)
    return evaluated(planned, noisy)


def evaluated(planned: AnswerPlan, model: PreTrainedModel) -> Outcomes:
    batches = AnswerBatches(ScoredBatches(planned.texts, max_tokens=300, padding=("right", 0)))
    scores = [token_scores(model, model.model.layers, batches[index]) for index in range(len(batches))]
    asked = {(name, row.asked.number): row.prompt for name, one in planned.sets.items() for row in one.rows}
    tokenizer = load_tokenizer(ModelSource("demo"))
    said = decode(model, tokenizer, [*asked.values()], max_new_tokens=NEW_TOKENS)
    written = {key: one.text for key, one in zip(asked, said, strict=True)}
    return outcomes.outcomes(planned, outcomes.token_values(scores), written)


def close(own: Any, published: Any, rel: float = 2e-5) -> bool:
    return bool(own == pytest.approx(published, rel=rel, abs=1e-6))


@pytest.mark.parametrize("whose", ["base", "reference"])
@pytest.mark.parametrize("name", ROLES)
@pytest.mark.parametrize("metric", METRICS)
def test_each_row(request: pytest.FixtureRequest, whose: str, name: str, metric: str) -> None:
    published = PUBLISHED[whose][name]
    if metric not in published:
        assert metric in MEMBERSHIP  # it attacks forget and holdout alone
        assert name in ("retain", "general")
        return
    own = request.getfixturevalue("found" if whose == "base" else "reference")[name]
    # It adds 1e-10 to what it divides by, the probability of right answers, which on facts that nobody knows is tiny.
    assert close(own[metric], published[metric], 2e-3 if (metric, name) == ("ratio", "holdout") else 2e-5)


@pytest.mark.parametrize("whose", ["base", "reference"])
@pytest.mark.parametrize("name", ROLES)
def test_extraction_strength_but_where_nothing_is_extracted(
    request: pytest.FixtureRequest, planned: AnswerPlan, whose: str, name: str
) -> None:
    own = request.getfixturevalue("found" if whose == "base" else "reference")[name]
    differing = 0
    for row, mine, theirs in zip(
        planned.sets[name].rows, own["extraction_strength"], PUBLISHED[whose][name]["extraction_strength"], strict=True
    ):
        assert row.answer is not None
        tokens = planned.texts[row.answer].scored - planned.ends[row.answer]
        differing += mine == 0
        assert close(mine, theirs) if mine else close(theirs, 1 / tokens)
    assert name == "retain" or differing  # both cases are met


@pytest.mark.parametrize("score", MEMBERSHIP)
def test_membership(found: Outcomes, reference: Outcomes, score: str) -> None:
    measured, noisy = measures(found, reference), measures(reference, None)
    key = "membership_auc" if score == "min_k" else f"membership_auc_{score}"
    for own, published in ((measured, PUBLISHED["base"]), (noisy, PUBLISHED["reference"])):
        assert close(1 - (own["answers"][key] or 0), published[f"auc_{score}"])


def test_of_all_sets(found: Outcomes, reference: Outcomes) -> None:
    measured = measures(found, reference)
    for name in ROLES:
        assert close(measured[f"answers/{name}"]["truth_ratio"], PUBLISHED["base"][name]["truth_ratio"])
    assert close(measured["answers"]["forget_quality"], PUBLISHED["forget_quality"])
    assert close(measured["answers"]["privacy_leakage"], PUBLISHED["privacy_leakage"])
    utility = measured["answers"]["model_utility"]
    parts = [
        value
        for name in ("retain", "general")
        for value in (
            mean(PUBLISHED["base"][name]["probability"]),
            mean(PUBLISHED["base"][name]["rouge_recall"]),
            PUBLISHED["base"][name]["truth_ratio"],
        )
    ]
    assert close(utility, len(parts) / sum(1 / part for part in parts))


def measures(found: Outcomes, reference: Outcomes | None) -> Measured:
    return measure(found, reference)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_what_is_published_is_no_constant() -> None:
    base: Mapping[str, Any] = PUBLISHED["base"]["forget"]
    assert all(len(set(values)) > 2 for values in base.values() if isinstance(values, list))
