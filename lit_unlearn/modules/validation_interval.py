"""How often a fit validates: what Lightning refuses only once the model before training has been evaluated."""

import lightning as L

from lit_unlearn.errors import InputError
from lit_unlearn.modules.protocols import HasEpoch


def check_validation_interval(trainer: L.Trainer, data: object) -> None:
    """Checks that there is a validation within an epoch, where batches are counted from the beginning of each.

    Args:
        trainer: of the fit.
        data: the DataModule, set up; of one that does not know its batches, Lightning says it later.

    Raises:
        InputError: `trainer.val_check_interval` is above the batches of an epoch.
    """
    every, limit = trainer.val_check_interval, trainer.limit_train_batches
    by_epoch = trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches > 0
    if not (isinstance(every, int) and by_epoch and isinstance(data, HasEpoch)):
        return
    whole = data.batches_of_epoch()
    batches = min(whole, limit) if isinstance(limit, int) else int(whole * limit)
    if every > batches:
        raise InputError(
            f"trainer.val_check_interval: {every} is above the {batches} batches of an epoch, so nothing would be "
            "evaluated; set trainer.check_val_every_n_epoch to null, which counts batches over all epochs, or give at "
            f"most {batches}"
        )
