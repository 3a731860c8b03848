"""A short training takes the steps that `fit` would take."""

from pathlib import Path

from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.scale.probe import ProbeCLI
from tests.commands.scale.test_scale import own


def test_gradients_are_accumulated_and_clipped_as_the_config_has_it(world: Path, tmp_path: Path) -> None:
    options = ["--trainer.accumulate_grad_batches=3", "--trainer.gradient_clip_val=0.5"]
    words = ["-c", "local.yaml", "-c", own(world, tmp_path), *options, "--trainer.gradient_clip_algorithm=value"]
    trainer = ProbeCLI(Words.read(words, command="fit"), max_steps=2).trainer
    assert (trainer.accumulate_grad_batches, trainer.max_steps) == (3, 2)
    assert (trainer.gradient_clip_val, trainer.gradient_clip_algorithm) == (0.5, "value")
