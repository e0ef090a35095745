"""Run: a training run that can be killed anywhere and goes on."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfcharrnn import curricula, data, fields, files
from tfcharrnn.config import DEFAULT_EPOCHS, RunConfig
from tfcharrnn.generation.generator import Generator
from tfcharrnn.generation.samples import Sample
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.running import assembly, devices, distilling, identity
from tfcharrnn.running.rollback import Rollback
from tfcharrnn.running.settling import settle, settled_precision
from tfcharrnn.text import held_out
from tfcharrnn.training import callbacks as events
from tfcharrnn.training import model_dir as model_dirs
from tfcharrnn.training import replicas, signals, trackers, transfer
from tfcharrnn.training.checkpointer import Checkpointer
from tfcharrnn.training.metrics import Metrics
from tfcharrnn.training.optimizers import cycle_length
from tfcharrnn.training.trainer import Callback


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        metrics: Of the last stage that was trained, as from `Trainer.train`;
            empty if there was nothing to do.
        checkpoint: The path of the checkpoint that was saved; None if there
            was nothing to do.
        reason: Why there is nothing left to train, and what goes on with it;
            None if a signal or a callback stopped training before.
        signal: The number of the signal that stopped it, or None.
    """

    metrics: Metrics
    checkpoint: str | None
    reason: str | None
    signal: int | None = None


class Run:
    """What `python -m tfcharrnn.train` does, from Python.

        config = RunConfig(corpus='bard.txt', model_dir='runs/bard', epochs=4)
        tf.random.set_seed(config.seed)     # the initial weights of the command
        run = Run(config)
        run.train()
        print(run.generator().generate('ROMEO: ', length=500))

    It evaluates, keeps checkpoints and the best of them, writes samples and
    metrics, stops early, goes back where a loss is not finite, and saves when
    a signal stops it. Started again with the same config, after whatever end,
    it goes on bit for bit.

    Attributes:
        config: The settings, 'auto' resolved.
        corpus: The text.
        stages: The datasets that it trains on.
        steps: The step at which all is done.
        model: What is trained.
        teacher: What it learns from, with `distill_from`; or None.
        trainer: What trains it.
        transfer: Where its first weights came from, with `init_from`; None if
            they are random, or the run goes on.
        restored: The checkpoint that it went on from; None: a fresh start.
        is_chief: Whether this process is the one among the workers that
            writes.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        report: Callable[[float], None] | None = None,
    ):
        """Reads the text and makes the model; nothing is written yet.

        Args:
            config: The settings. A run that is in the folder already goes on,
                and must have the same ones; see `settle`.
            report: Called now and then while a large text is read, with the
                share of the work that is done.

        Raises:
            OSError: If the text cannot be read.
            ValueError: If it is too short or not in the encoding, or a setting
                does not fit it, the machine or the model in `init_from`.
        """
        if config.deterministic:  # Of all operations of this process.
            tf.config.experimental.enable_op_determinism()
        self.strategy = devices.make_strategy(config.strategy)
        self.is_chief = devices.is_chief(self.strategy)
        self.corpus, _ = held_out.load(
            config, characters=curricula.characters(config), report=report
        )
        self.stages = curricula.make(config, self.corpus)
        batches = self.stages[-1].dataset
        if isinstance(batches, data.Streams):  # Which a curriculum lets grow.
            config = config.replace(seq_length=batches.seq_length)
        if config.precision == 'auto':
            config = config.replace(precision=settled_precision(config))
        self.config = config
        if not config.steps and any(stage.until for stage in self.stages):
            raise fields.SettingError(
                '`curriculum` has stages that end by a condition, so nobody '
                'knows how many steps `epochs` would be: give `steps`.'
            )
        self.steps = config.steps or curricula.count_steps(
            self.stages, (config.epochs or DEFAULT_EPOCHS) * batches.num_chars
        )
        vocabulary = self.corpus.vocabulary
        vocabulary.encode(config.prompt)  # Raises now, not after an epoch.
        devices.check_memory(config, len(vocabulary))
        with self.strategy.scope():
            self._rate_share = tf.Variable(tf.ones([]), trainable=False)
            self.model = _make_model(config, len(vocabulary))
            self.teacher = distilling.load_teacher(config, vocabulary)
            self.trainer = assembly.make_trainer(
                config,
                self.model,
                teacher=self.teacher,
                steps=self.steps,
                share=self._rate_share,
            )
        self.transfer = self._init_from()
        self._tracker = None
        if config.tracker and self.is_chief:
            name = config.folder.name
            self._tracker = trackers.make(config.tracker, name=name)
        self.restored: str | None = None
        self._checkpointer: Checkpointer | None = None

    @classmethod
    def resume(
        cls,
        model_dir: str | os.PathLike,
        changes: Mapping[str, Any] | None = None,
    ) -> Run:
        """Goes on with a run by its own settings.

            Run.resume('runs/bard', {'epochs': 8}).train()

        Args:
            model_dir: The folder of the run.
            changes: Settings that may change in a run that goes on, by name.
        """
        given = {**(changes or {}), 'model_dir': os.fspath(model_dir)}
        return cls(settle(given))

    @property
    def batches_per_pass(self) -> int:
        """The number of batches in a pass of the last stage's dataset."""
        return len(self.stages[-1].dataset)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Run]:
        """Locks the folder and goes on from its last checkpoint.

        `train` does it by itself; with this, one can look before.

        Raises:
            BlockingIOError: If another process trains there.
            ValueError: If the folder holds another run.
        """
        if self._checkpointer is not None:
            yield self
            return
        folder = self.config.folder
        files.check_inside(folder)
        if not self.config.overwrite:
            identity.check_settings(folder, self.config)
        with contextlib.ExitStack() as stack:
            if self.is_chief:
                stack.enter_context(files.locked(folder))
            if self.config.overwrite:
                model_dirs.delete_run(folder)
                # Once: what this run writes from now on stays.
                self.config = self.config.replace(overwrite=False)
            with model_dirs.blaming_settings(folder):
                self._checkpointer = self._restore(folder)
            stack.callback(setattr, self, '_checkpointer', None)
            identity.check_record(
                self.trainer.record,
                self.config,
                corpus=self.corpus,
                teacher=self.teacher,
            )
            yield self

    def train(
        self,
        callbacks: Iterable[Callback] = (),
        *,
        progress: Callback | None = None,
    ) -> Outcome:
        """Trains until all is done, or a callback or a signal stops it; saves.

        Args:
            callbacks: As for `Trainer.train`, besides those of the run. Their
                `begin` and `close`, if any, are called as by `callbacks.begun`.
            progress: Called after each loop of steps, and with the metrics of
                each validation, such as `callbacks.Progress`; it is closed.

        Returns:
            How it ended.

        Raises:
            FloatingPointError: If a loss is not finite, and `on_nonfinite` is
                stop or did not help.
            ConnectionError: If another worker cannot be reached any more.
            OSError: If a checkpoint cannot be written; those from before are
                as they were.
        """
        with self.opened():
            reason = self.reason_to_end()
            if reason is not None:
                return Outcome({}, None, reason)
            folder = self.checkpointer.model_dir
            model_dirs.write_settings(folder, self.config)
            if self.transfer is not None and not self.trainer.step:
                # From now on, nothing depends on the other folder.
                self.checkpointer.save()
            return self._train(list(callbacks), progress)

    @property
    def checkpointer(self) -> Checkpointer:
        """What saves the run, inside of `opened` and `train`."""
        if self._checkpointer is None:
            raise ValueError('The run is not open: use `with run.opened():`.')
        return self._checkpointer

    def generator(self, checkpoint: str | None = None) -> Generator:
        """Returns a generator with a checkpoint of this run.

        Args:
            checkpoint: As for `Generator.from_checkpoint`.
        """
        return Generator.from_checkpoint(self.config.folder, checkpoint)

    def reason_to_end(self) -> str | None:
        """Says why there is nothing left to train; None if there is."""
        if self.trainer.step >= self.steps:
            return (
                f'All {self.steps:,} steps are made. To train further, raise '
                '`steps` or `epochs`.'
            )
        patience = self.config.early_stopping
        if patience and events.EarlyStopping(patience).has_waited(self.trainer):
            return (
                f'Training stopped early at step {self.trainer.step:,}, after '
                f'{patience} evaluations without a better one. To train '
                'further, raise `early_stopping`, or set it to 0.'
            )
        return None

    def _train(self, callbacks, progress):
        """Trains through all stages, back to a checkpoint where need be."""
        checkpointer, trainer = self.checkpointer, self.trainer
        rollback = Rollback(
            checkpointer,
            self._rate_share,
            self.config.on_nonfinite == 'rollback',
        )
        periodic = self._periodic(progress)
        calls = [*([progress] if progress else []), *callbacks]
        calls += [events.every(*each) for each in periodic]
        settings = self.config.values()
        settings = {k: v for k, v in settings.items() if v is not None}
        with (
            events.begun(calls, trainer, settings),
            signals.noted() as caught,
        ):

            def stop_if_caught(trainer, _):
                trainer.stop_training |= bool(caught)

            calls.append(stop_if_caught)
            while True:
                try:
                    metrics = curricula.train(
                        trainer, self.stages, self.steps, callbacks=calls
                    )
                    reason = self.reason_to_end()
                    if reason is not None:
                        _call_at_the_end(trainer, periodic)
                    path = checkpointer.save()
                    break
                except FloatingPointError as error:
                    rollback(error)
                except replicas.LOST_WORKER as error:
                    raise ConnectionError(
                        'Another worker has died, or cannot be reached any '
                        'more. Start all of them again as before: they go on '
                        'from the last checkpoint.'
                    ) from error
        number = caught[0] if caught and reason is None else None
        return Outcome(metrics, path, reason, number)

    def _periodic(self, progress):
        """Returns (period, callback) for all that happens now and then."""
        config, checkpointer = self.config, self.checkpointer
        folder = pathlib.Path(checkpointer.model_dir)
        evaluated = self._period(config.eval_every)
        reported = evaluated or self.batches_per_pass
        tensorboard = None
        if importlib.util.find_spec('tensorboard') is not None:
            tensorboard = events.TensorBoard(folder)
        result = []
        if len(self.corpus.valid) > 1:
            valid = data.evaluation_batches(
                self.corpus,
                'valid',
                seq_length=config.seq_length,
                lines_per_batch=config.batch_size,
            )
            result.append((evaluated, events.Evaluate(valid)))
            result.append((evaluated, checkpointer.keep_best))
            if config.early_stopping:
                stopping = events.EarlyStopping(config.early_stopping)
                result.append((evaluated, stopping))
        json_lines = events.JsonLines(folder / model_dirs.METRICS)
        others = json_lines, progress, tensorboard, self._tracker
        result += [(reported, each) for each in others if each is not None]
        sample = Sample(
            self.corpus.vocabulary,
            folder / model_dirs.SAMPLES,
            prompt=config.prompt,
            length=config.sample_length,
            temperatures=config.temperatures,
            tensorboard=tensorboard,
        )
        result.append((self._period(config.sample_every), sample))
        kept = config.keep_every
        if config.num_cycles and not kept:
            kept = cycle_length(config, self.steps)
        # Before the save: a run killed between the two keeps them once more.
        result.append((kept, checkpointer.keep))
        result.append((self._period(config.save_every), self._save_unless_last))
        return [(period, callback) for period, callback in result if period]

    def _period(self, steps):
        return self.batches_per_pass if steps is None else steps

    def _save_unless_last(self, trainer, metrics):
        # A checkpoint of the last step means that all is done, the callbacks
        # at the end too. A run killed before then repeats its last steps.
        if self.reason_to_end() is None:
            self.checkpointer(trainer, metrics)

    def _init_from(self):
        """Begins with the weights of another model, if the run begins."""
        config = self.config
        if config.init_from is None:
            return None
        if not config.overwrite and model_dirs.has_checkpoint(config.folder):
            return None
        transfer.check_outside(config.folder, config.init_from)
        vocabulary = self.corpus.vocabulary
        return transfer.init_from(config.init_from, self.model, vocabulary)

    def _restore(self, folder):
        checkpointer = Checkpointer(
            folder,
            self.trainer,
            self.corpus.vocabulary,
            max_to_keep=self.config.max_to_keep,
        )
        self.restored = checkpointer.restore()
        if not self.is_chief:
            # All take part in a save, but only the chief's is kept.
            checkpointer.model_dir = tempfile.mkdtemp()
            atexit.register(
                shutil.rmtree, checkpointer.model_dir, ignore_errors=True
            )
        return checkpointer


def _make_model(config: RunConfig, vocab_size: int) -> CharRNN:
    return CharRNN(
        vocab_size,
        config.embedding_dim or None,
        config.rnn_units,
        config.num_layers,
        config.cell,
        compute_dtype=config.precision,
        dropout=config.dropout,
        tied=config.tied,
        residual=config.residual,
        layer_norm=config.layer_norm,
        activation_penalty=config.activation_penalty,
        slowness_penalty=config.slowness_penalty,
    )


def _call_at_the_end(trainer, periodic):
    """Calls those whose period does not end with the last step."""
    metrics = {period: trainer.metrics_since(period) for period, _ in periodic}
    for period, callback in periodic:
        if metrics[period]:
            callback(trainer, metrics[period])
