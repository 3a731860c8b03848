from lit_unlearn.errors import Diverged, InputError


def test_a_notebook_shows_the_sentence_alone() -> None:
    assert InputError("data.batch_size: must be at least 1, got 0")._render_traceback_() == [
        "InputError: data.batch_size: must be at least 1, got 0"
    ]
    assert Diverged("the loss is not a number")._render_traceback_() == ["Diverged: the loss is not a number"]
