"""When in a run something is measured, as a heading says it."""

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn


def moment(trainer: L.Trainer) -> str:
    """Such as `After 1 step`; `Evaluation` where nothing is trained.

    Args:
        trainer: of the run.
    """
    if trainer.state.fn != TrainerFn.FITTING:
        return "Evaluation"
    steps = trainer.global_step
    if not steps:  # a training that has stopped without a step is that of `lit-unlearn repair`
        return "Without training" if trainer.should_stop else "Before training"
    return f"After {steps} step{'' if steps == 1 else 's'}"
