import pytest
from jsonargparse import ArgumentParser

import lit_unlearn
from lit_unlearn.commands.options import suggestions


@pytest.mark.parametrize("cls", [lit_unlearn.QuestionModule, lit_unlearn.WMDPDataModule, lit_unlearn.RMU])
def test_arguments_are_those_that_a_class_takes(cls: type) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(cls, "its")
    taken = {action.dest.removeprefix("its.").split(".")[0] for action in parser._actions} - {"help", "its"}
    assert taken == {*suggestions.arguments(f"{cls.__module__}.{cls.__qualname__}")}


def test_arguments_of_bases_count_where_they_are_passed_on() -> None:
    assert "parallel_devices" in suggestions.arguments("lightning.pytorch.strategies.DDPStrategy")
    assert "defaults" not in suggestions.arguments("torch.optim.SGD")  # which the base class has
