import pytest

from benchmarks.study.strays import Bench, by_subject, of_one_kind, table
from lit_unlearn.commands.analysis.strays.scores import SCORES, TRIVIAL
from lit_unlearn.demo.knowledge import invent


def test_texts_of_a_class_are_of_its_subject() -> None:
    knowledge = invent()
    texts = by_subject(knowledge, (5, 6, 8), seed=1)
    assert [len(own) for own in texts] == [5, 6, 8]
    words = [{word for fact in knowledge.about(one) for word in (fact.entity, fact.value)} for one in knowledge.forget]
    for own, other, rows in ((words[0], words[1], texts[0]), (words[1], words[0], texts[1])):
        text = " ".join(rows)
        assert any(word in text for word in own)
        assert not any(f" {word} " in text for word in other - own)
    assert texts != by_subject(knowledge, (5, 6, 8), seed=2)
    one, other_one = of_one_kind(knowledge, 8, seed=1)
    assert not set(one) & set(other_one)


def test_a_table_has_means_and_deviations() -> None:
    found = [dict.fromkeys(SCORES, value) for value in (0.25, 0.75)]
    text = table({"trusted": found})
    assert text.splitlines()[0] == "| score | trusted |"
    assert text.count("| 0.500 ± 0.354 |") == len(SCORES)


@pytest.mark.slow
def test_the_least_class_helps_with_few_trusted_rows_and_not_without() -> None:
    bench, knowledge = Bench(), invent()
    texts = by_subject(knowledge, (200, 200, 400), 0)
    trusted = bench.precision(texts, 0, by_subject(knowledge, (20, 20, 20), 1000))
    labelled = bench.precision(texts, 0)
    assert trusted["influence by class"] > trusted["influence"] + 0.03
    assert trusted["gradient dot by class"] > trusted["gradient dot"] + 0.02
    assert labelled["gradient dot by class"] < labelled["gradient dot"] - 0.05
    assert all(labelled[name] == trusted[name] for name in TRIVIAL)
    assert labelled["tokens"] > 0.95
