"""What training and evaluation need of their data, as protocols."""

from typing import Any, Protocol, runtime_checkable

import tensorflow as tf


@runtime_checkable
class Dataset(Protocol):
    """Data to train on: passes of batches, any of which can be the first.

    `data.Batches` is one.

    Attributes:
        batch_size: Rows of every batch (B).
        num_chars: Targets of a pass; what a curriculum counts its budget by.
    """

    batch_size: int
    num_chars: int

    def __len__(self) -> int:
        """The number of batches in a pass."""
        ...

    def starting_at(self, position: int) -> tf.data.Dataset:
        """Makes the endless dataset of batches, from one of them on.

        Args:
            position: Number of the first batch, counted from the very first.
        """
        ...


@runtime_checkable
class Continuable(Dataset, Protocol):
    """Data whose rows can go on where those of another dataset stopped.

    So training keeps its state from one dataset to the next:

        num_read = next_one.num_read_after(last_one, position)
        next_one.starting_at(0, num_read)     # if 0: from the start

    `data.Streams` is one, `data.Batches` is not:

        >>> ids = np.arange(13)
        >>> isinstance(tfcharrnn.data.sequences(ids, 2, 3), Continuable)
        True
        >>> isinstance(tfcharrnn.data.windows(ids, 2, 3), Continuable)
        False
    """

    def num_read_after(
        self, other: Dataset, position: int, num_read: int = 0
    ) -> int:
        """Returns how many characters of each row were read with `other`.

        Args:
            other: The dataset before this one.
            position: The position of its next batch.
            num_read: The `num_read` with which `other` itself began.

        Returns:
            Characters of each row; 0 if the rows do not go on.
        """
        ...

    def starting_at(self, position: int, num_read: int = 0) -> tf.data.Dataset:
        """Makes the endless dataset of batches, from one of them on.

        Args:
            position: Number of the first batch, counted from the very first.
            num_read: Characters of each row read before the very first batch.
        """
        ...


@runtime_checkable
class Adaptive(Dataset, Protocol):
    """Data whose batches depend on how training goes.

    What it knows is in the record of the trainer, `record.place`, and nowhere
    else: then a run that was killed goes on bit for bit.

        enter(trainer)                     before its batches are read
        train_step(trainer, batch, state)  makes each step, and looks at it

    One that changes at the multiples of some steps, by weights of that step,
    has them as an attribute `enter_every`: it is entered again there, and its
    batches are then read anew. `curricula.bandit` and `curricula.SelfPaced`
    make such data.
    """

    def enter(self, trainer: Any) -> None:
        """Goes on from what the record of the trainer says.

        Called twice at one step, it does the same as once: a run may be killed
        in between.
        """
        ...

    def train_step(self, trainer: Any, batch: Any, state: Any) -> Any:
        """Calls `trainer.train_step`, in a graph.

        Args:
            trainer: The trainer.
            batch: As this dataset yields it; it has the fields of a `Batch`.
            state: The state of its rows; zero where they were reset.

        Returns:
            As `Trainer.train_step`; the pairs may be more.
        """
        ...
