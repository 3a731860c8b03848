from typing import ClassVar

import pytest
from torch import Tensor, nn

from lit_unlearn import NLL, RMU, Batch, LogitKL, LogitMSE, RepresentationMSE, losses
from lit_unlearn.errors import InputError
from lit_unlearn.losses.checks import check_options, check_streams, check_topics
from lit_unlearn.losses.contract import Loss, Outputs, PerTopic

TOPICS = ("bio", "cyber", "chem")


class FrozenLogits(Loss):
    """Reads the frozen model's logits, as a KL loss does."""

    needs_logits: ClassVar[bool] = True
    needs_frozen: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        return updated.hidden.mean(dim=(1, 2))


class Options(nn.Module):
    """What a module with per-topic options looks like."""

    def __init__(self, coefficient: float | list[float], retain_weight: float | list[float]) -> None:
        super().__init__()
        self.forget = RMU(coefficient)
        self.retain_weight = PerTopic(retain_weight)


@pytest.mark.parametrize(
    ("retain", "layer", "noise_layer", "noise_scale"),
    [
        (RepresentationMSE(), 0, 0, 0.0),
        (RepresentationMSE(), 7, 7, 0.03),
        (RepresentationMSE(), 7, 2, 0.03),
        (RepresentationMSE(), 7, 9, 0.0),
        (NLL(), 7, 7, 0.0),
        (FrozenLogits(), 7, 9, 0.03),
    ],
)
def test_options_that_fit_together_pass(retain: Loss, layer: int, noise_layer: int, noise_scale: float) -> None:
    check_options(retain, layer=layer, noise_layer=noise_layer, noise_scale=noise_scale)


class Own(Loss):
    """A user's own, which does not say what it is for."""

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        return updated.hidden.mean(dim=(1, 2))


FORGET = [getattr(losses, name)() for name in losses.__all__]
RETAIN = [RepresentationMSE(), LogitKL(), LogitMSE(), NLL()]


@pytest.mark.parametrize("loss", [*FORGET, Own()], ids=repr)
def test_forget_losses_and_those_of_ones_own_forget(loss: Loss) -> None:
    check_streams(loss, RepresentationMSE())


@pytest.mark.parametrize("loss", [*RETAIN, Own()], ids=repr)
def test_retain_losses_and_those_of_ones_own_retain(loss: Loss) -> None:
    check_streams(RMU(), loss)


@pytest.mark.parametrize("loss", RETAIN, ids=repr)
def test_a_retain_loss_does_not_forget(loss: Loss) -> None:
    name = type(loss).__name__
    with pytest.raises(
        InputError, match=rf"^model\.forget: {name} is a retain loss .*; take a forget loss, e\.g\. RMU"
    ):
        check_streams(loss, RepresentationMSE())


@pytest.mark.parametrize("loss", FORGET, ids=repr)
def test_a_forget_loss_does_not_retain(loss: Loss) -> None:
    name = type(loss).__name__
    with pytest.raises(
        InputError, match=rf"^model\.retain: {name} is a forget loss .*; take a retain loss, e\.g\. Rep"
    ):
        check_streams(RMU(), loss)


def test_a_negative_layer_is_refused() -> None:
    with pytest.raises(InputError, match=r"^model\.layer: -1 is not the index of a decoder layer; count from 0"):
        check_options(RepresentationMSE(), layer=-1, noise_layer=0, noise_scale=0.0)


@pytest.mark.parametrize("noise_scale", [-0.1, float("nan"), float("inf")])
def test_noise_that_has_no_standard_deviation_is_refused(noise_scale: float) -> None:
    with pytest.raises(InputError, match=rf"^model\.noise_scale: {noise_scale} is not a standard deviation; give 0"):
        check_options(RepresentationMSE(), layer=7, noise_layer=7, noise_scale=noise_scale)


def test_noise_with_a_loss_that_does_not_read_the_frozen_model_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^model\.noise_scale: NLL does not read the frozen model.* RepresentationMSE"
    ):
        check_options(NLL(), layer=7, noise_layer=7, noise_scale=0.03)


def test_noise_above_what_the_loss_reads_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^model\.noise_layer: 8 lies above layer 7.* RepresentationMSE .* set it to 7"
    ):
        check_options(RepresentationMSE(), layer=7, noise_layer=8, noise_scale=0.03)


@pytest.mark.parametrize("values", [6.5, [1.0, 2.0, 3.0]])
def test_one_number_or_one_for_each_topic_passes(values: float | list[float]) -> None:
    check_topics(Options(values, values), TOPICS)


def test_a_list_needs_named_topics() -> None:
    with pytest.raises(InputError, match=r"model.forget.coefficient: 2 values for 0 topics \(none named\); give one"):
        check_topics(Options([1.0, 2.0], 1.0), ())


@pytest.mark.parametrize(
    ("options", "name", "count"),
    [
        (Options([1.0, 2.0], 1.0), "forget.coefficient", 2),
        (Options(1.0, [1.0, 2.0, 3.0, 4.0]), "retain_weight", 4),
        (Options([], 1.0), "forget.coefficient", 0),
    ],
)
def test_a_list_of_another_length_is_refused_with_the_topics(options: nn.Module, name: str, count: int) -> None:
    with pytest.raises(
        InputError, match=rf"^model\.{name}: {count} values for 3 topics \(bio, cyber, chem\); give one"
    ):
        check_topics(options, TOPICS)
