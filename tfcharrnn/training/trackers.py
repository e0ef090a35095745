"""Trackers: the metrics of a run go to a service that compares runs."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import secrets
from collections.abc import Mapping
from typing import Any

from tfcharrnn import checks, files
from tfcharrnn.kinds import TRACKERS
from tfcharrnn.training.metrics import Metrics
from tfcharrnn.training.trainer import Trainer

# The note in the record that lets a restart go on with the same tracked run.
_NOTE = 'tracker'


class Tracker:
    """Sends the metrics to Weights & Biases, or to trackio on this machine.

    Both have the same three calls:

        init(project, name, config)   at the beginning
        log(metrics, step)            at each period
        finish()                      at the end, also after an exception

    A run that goes on is tracked under the name that it had. A callback:

        tracker = Tracker('trackio')
        run.train([every(100, tracker)])

    Their own settings are environment variables, such as WANDB_MODE=offline
    and TRACKIO_DIR.
    """

    def __init__(
        self, kind: Any, *, project: str = 'tfcharrnn', name: str = 'run'
    ):
        """Takes the module that tracks; nothing is sent yet.

        Args:
            kind: 'wandb', 'trackio', or a module with these three functions.
            project: The project that the run is shown in.
            name: The name of the run; a random suffix keeps it apart from
                others of that name.

        Raises:
            ValueError: If the package is not installed.
        """
        self._module = load(kind) if isinstance(kind, str) else kind
        self._project = project
        self._name = name

    def begin(self, trainer: Trainer, config: Mapping[str, Any]) -> None:
        """Opens the run, or the one of before a restart.

        Args:
            trainer: Its record keeps the name.
            config: The settings to show beside the run.

        Raises:
            ConnectionError: If the service refuses, for instance since nobody
                is logged in.
        """
        name = _unique_name(trainer, self._name)
        options = {'name': name, 'config': dict(config), 'resume': 'allow'}
        if 'id' in inspect.signature(self._module.init).parameters:
            options['id'] = name  # wandb goes on by it, trackio by the name.
        with _blaming(self._module):
            self._module.init(project=self._project, **options)

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Sends the metrics."""
        self._module.log(dict(metrics), step=trainer.step)

    def close(self) -> None:
        """Ends the run."""
        self._module.finish()


class MLflow:
    """Sends the metrics to MLflow: `Tracker`'s methods, with its calls.

    Where to is its environment variable, MLFLOW_TRACKING_URI. A run that goes
    on becomes another run there.
    """

    def __init__(self, *, project: str = 'tfcharrnn', name: str = 'run'):
        """Takes the names of the experiment and of the run.

        Raises:
            ValueError: If the package is not installed.
        """
        self._mlflow = load('mlflow')
        self._project = project
        self._name = name

    def begin(self, trainer: Trainer, config: Mapping[str, Any]) -> None:
        """Opens a run with these settings."""
        with _blaming(self._mlflow):
            self._mlflow.set_experiment(self._project)
            self._mlflow.start_run(run_name=_unique_name(trainer, self._name))
            self._mlflow.log_params(dict(config))

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Sends the metrics."""
        self._mlflow.log_metrics(dict(metrics), step=trainer.step)

    def close(self) -> None:
        """Ends the run."""
        self._mlflow.end_run()


def make(kind: str, *, name: str) -> Tracker | MLflow:
    """Makes a tracker.

    Args:
        kind: One of `kinds.TRACKERS`.
        name: The name of the run.

    Raises:
        ValueError: If the package is not installed.
    """
    checks.choice('tracker', kind, TRACKERS)
    return MLflow(name=name) if kind == 'mlflow' else Tracker(kind, name=name)


def load(kind: str) -> Any:
    """Imports the package of a tracker.

    Args:
        kind: One of `kinds.TRACKERS`.

    Raises:
        ValueError: If it is not installed; the error says what to type.
    """
    checks.choice('tracker', kind, TRACKERS)
    spec = importlib.util.find_spec(kind)
    # A folder of that name, such as wandb writes, counts as a package, too.
    if spec is None or spec.origin is None:
        raise ValueError(
            f'`tracker` is {kind}, which is not installed. Type '
            f"`pip install 'tfcharrnn[{kind}]'`."
        )
    return importlib.import_module(kind)


@contextlib.contextmanager
def _blaming(module):
    """Names the package in whatever error it raises."""
    try:
        yield
    except Exception as error:
        raise ConnectionError(
            f'{module.__name__} does not track this run: '
            f'{files.reason(error).rstrip(". ")}. Set it up, or leave '
            '`tracker` out.'
        ) from error


def _unique_name(trainer, name):
    """Returns the name of the run in the record, made when it begins."""
    unique = f'{name}-{secrets.token_hex(3)}'
    return trainer.record.notes.setdefault(_NOTE, unique)
