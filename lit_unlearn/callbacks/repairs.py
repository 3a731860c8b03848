"""Repair the unlearned weights without training, and evaluate what comes out."""

from functools import partial
from typing import ClassVar

import lightning as L

from lit_unlearn.callbacks.evaluation import evaluating
from lit_unlearn.callbacks.export import ExportPretrained
from lit_unlearn.callbacks.other_weights import weights_put_back, without_result
from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.callbacks.repair_inputs import RepairRows, input_moments, ordered
from lit_unlearn.callbacks.repair_limit import check_asked, found_strength
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.modules.protocols import HasHoldout, datamodule_of
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.repairs.closed_form import ClosedForm
from lit_unlearn.repairs.contract import WeightRepair
from lit_unlearn.repairs.matrices import Matrix, trained_matrices
from lit_unlearn.repairs.order import apply
from lit_unlearn.runs.shown import Shown

MIXED = Mixing(rate=1.0, spans=4, length=[2, 4, 8])
"""How retain rows are mixed with forget tokens where nothing else is said."""


class Repairs(Shown, L.Callback):
    """After training, repairs the unlearned weights in closed form and evaluates each repair.

    It sees what each trained matrix is given on forget rows and on retain rows into which forget tokens are mixed, and
    changes what training has added to the matrix (ClosedForm, NullSpace). The matrices are repaired in the order of the
    forward, each with the inputs of the model repaired so far. Records of `results.json` say which `repair` they are
    of. The weights are the unlearned ones again afterwards, unless the repair is kept: then the export has it.

    Args:
        repairs: what is evaluated.
        rows: of each stream, of those that are trained on, in whole batches.
        mixing: of the retain rows, at whose inserted tokens nothing is measured; None mixes nothing.
        keep: leave the weights repaired; for one repair.

    Raises:
        InputError: a number cannot be, no repair or more than one to keep is given, what is trained has no closed form,
            or the model is sharded.
    """

    needs_logits: ClassVar[bool] = True

    def __init__(
        self, repairs: list[WeightRepair], *, rows: int = 512, mixing: Mixing | None = MIXED, keep: bool = False
    ) -> None:
        if not repairs or (keep and len(repairs) > 1):
            raise InputError(
                f"Repairs.repairs: must be {'one to keep' if keep else 'at least one'}, got {len(repairs)}; give e.g. "
                "ClosedForm with mu: 5"
            )
        check_at_least("Repairs.rows", rows, 1)
        names = [repair.name for repair in repairs]
        if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
            raise InputError(f"Repairs.repairs: {twice} is given twice; remove one")
        self.repairs = tuple(repairs)
        self.rows = rows
        self.mixing = mixing
        self.keep = keep

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks, before training, that there is something to repair and someone to evaluate it."""
        if stage == "fit":
            self.check_options(trainer, pl_module, datamodule_of(trainer))

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """The same, before data is read.

        Raises:
            InputError: there is not.
        """
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(f"Repairs: {type(pl_module).__name__} is not an UnlearnModule; remove the callback")
        if not isinstance(data, UnlearnDataModule):
            raise InputError(
                f"Repairs: {type(data).__name__} has no forget and retain streams; take UnlearnDataModule or one that "
                "extends it"
            )
        if pl_module.lora is not None:
            raise InputError(
                "Repairs: model.lora trains adapters, whose product has a rank that a repaired change would not have; "
                "train the matrices themselves by model.trainable, or remove the callback"
            )
        if not self.keep and not evaluating(trainer):
            raise InputError(
                "Repairs: it needs PerturbationRobustness, LikelihoodRobustness or AnswerEvaluation among "
                "trainer.callbacks to evaluate repairs; add one, or set keep to true"
            )
        self._check_order(trainer)
        limits = [one for one in self.repairs if isinstance(one, ClosedForm) and one.nll_rise is not None]
        if limits and not (isinstance(data, HasHoldout) and data.holdout):
            raise InputError(f"Repairs: {limits[0]!r}: no rows are held out; set data.holdout, e.g. to 0.1")

    def _check_order(self, trainer: L.Trainer) -> None:
        """Checks that repaired weights are kept before they are exported.

        Raises:
            InputError: ExportPretrained comes first.
        """
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        exports = [place for place, one in enumerate(callbacks) if isinstance(one, ExportPretrained)]
        if self.keep and exports and exports[0] < callbacks.index(self):
            raise InputError(
                "Repairs.keep: ExportPretrained comes before it among trainer.callbacks, and would export the "
                "unrepaired weights; put Repairs first"
            )

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks that what is trained can be repaired, and that what limits a repair is asked for."""
        assert isinstance(pl_module, UnlearnModule)
        if pl_module.is_sharded():
            raise InputError(
                "Repairs: under FSDP no process holds a whole matrix; remove the callback, and repair the finished run "
                "in one process: lit-unlearn repair RUN --trainer.strategy auto --trainer.devices 1"
            )
        _matrices(pl_module)
        if any(isinstance(one, ClosedForm) and one.answer_logprob is not None for one in self.repairs):
            check_asked(pl_module, _to_forget(trainer))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Repairs and evaluates, one repair after another."""
        assert isinstance(pl_module, UnlearnModule)
        rows = self._rows(trainer, pl_module)
        for repair in self.repairs:
            if self.keep:
                done = self._repair(pl_module, repair, rows)
                pl_module.repaired_by(f"{done!r}, {self.rows} rows, mixing {self.mixing}")
                self._evaluate(trainer, repaired=repair.name, **_strength(done))
                return
            with weights_put_back(pl_module):
                done = self._repair(pl_module, repair, rows)
                self._evaluate(trainer, repair=repair.name, **_strength(done))

    def _repair(self, module: UnlearnModule, repair: WeightRepair, rows: RepairRows) -> WeightRepair:
        """Repairs the unlearned weights in place; returns the repair, with the strength that was found."""
        matrices = _matrices(module)
        groups = ordered(module, matrices, rows.forget[0])
        unlearned = {matrix.name: matrix.weight.detach().clone() for matrix in matrices}

        def repaired(one: WeightRepair) -> None:
            for matrix in matrices:
                matrix.weight.data.copy_(unlearned[matrix.name])
            apply(one, groups, partial(input_moments, module, rows))

        if isinstance(repair, ClosedForm) and repair.mu is None:
            repair = found_strength(module, repair, _to_forget(module.trainer), repaired)
            if module.trainer.is_global_zero:
                print_lines(f"The largest μ that leaves as much forgotten is {repair.mu:.3g}")
        repaired(repair)
        return repair

    def _evaluate(self, trainer: L.Trainer, **condition: str | float) -> None:
        callbacks = evaluating(trainer)
        if callbacks:
            with callbacks[0].under(**condition), without_result(trainer):
                trainer.fit_loop.epoch_loop.val_loop.run()

    def _rows(self, trainer: L.Trainer, module: UnlearnModule) -> RepairRows:
        data = datamodule_of(trainer)
        assert isinstance(data, UnlearnDataModule)
        pairs = data.pairs(self.rows, mixing=self.mixing)
        moved = [module.transfer_batch_to_device(pair, module.device, 0) for pair in pairs]
        return RepairRows([pair["forget"] for pair in moved], [pair["retain"] for pair in moved])


def _strength(repair: WeightRepair) -> dict[str, float]:
    """What a record says of the strength."""
    return {"mu": repair.mu} if isinstance(repair, ClosedForm) and repair.mu is not None else {}


def _to_forget(trainer: L.Trainer) -> tuple[str, ...]:
    """Names of the question sets that are to be forgotten."""
    return tuple(name for one in evaluating(trainer) for name in one.forget)


def _matrices(module: UnlearnModule) -> list[Matrix]:
    return trained_matrices(module.updated, module.layers, module.frozen.originals())
