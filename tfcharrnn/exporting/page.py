r"""Page: one HTML file in which a model runs, and shows what it has learnt.

    model_dir  ->  payload (JSON)  \
    page/*.js  ->  one script       >  page.html, that opens from disk
    page/style.css                 /

The file needs no server and no network: its Content-Security-Policy forbids
requests, and any script but its own. Texts of the run (its name, tokens,
settings) reach the page as JSON, whose < > & are escaped, so none of them can
end the element that it is in; the page shows them as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import pathlib
import re
from typing import Any

from absl import logging

from tfcharrnn import checks, files
from tfcharrnn.exporting import card, quantization, snapshots, training_text
from tfcharrnn.exporting import payload as payloads
from tfcharrnn.exporting.bundle import bundle
from tfcharrnn.exporting.units import find_units
from tfcharrnn.generation.generator import Generator
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import model_dir as model_dirs

PAGE = pathlib.Path(__file__).with_name('page')
# A browser takes noticeable time, and memory, for a larger file.
LARGE = 10_000_000
# Characters in which units are looked for, and that are shown at first.
_MEASURED = 20_000
_SAMPLE = 600
# Units that are shown for each feature.
_UNITS = 2


def write(
    model: Any,
    vocabulary: Vocabulary,
    out: str | os.PathLike,
    *,
    checkpoints: int = 1,
) -> list[pathlib.Path]:
    """Writes a page about a model in memory, of which no run is known.

    Args:
        model: A `CharRNN` with a cell of this library.
        vocabulary: Its vocabulary.
        out: Where to write; an existing file is replaced.
        checkpoints: 1, as there are no others.

    Returns:
        The path.

    Raises:
        ValueError: The model has a cell of your own, or `checkpoints` is not 1.
        OSError: The page cannot be written.
    """
    checks.whole_number('checkpoints', checkpoints, high=1)
    quantization.check(model)
    shown = snapshots.Snapshot(model, None, '', False)
    payload = _payload([shown], 0, vocabulary, name=pathlib.Path(out).stem)
    return _write(out, payload)


def write_run(
    model_dir: str | os.PathLike,
    out: str | os.PathLike,
    *,
    checkpoint: str | None = None,
    checkpoints: int = 1,
) -> list[pathlib.Path]:
    """Writes a page about a trained model.

        page.write_run('runs/bard', 'bard.html', checkpoints=5)

    Args:
        model_dir: The directory of the run.
        out: Where to write; an existing file is replaced.
        checkpoint: The one that the page shows first, as for `load_model`.
        checkpoints: How many checkpoints of the run the page has, at most:
            this one, the best, and others spread over training.

    Returns:
        The path.

    Raises:
        FileNotFoundError: There is no model or no such checkpoint.
        ValueError: A file is damaged, the model has a cell of your own, or
            `checkpoints` is not a whole number from 1 up.
        OSError: The page cannot be written.
    """
    checks.whole_number('checkpoints', checkpoints)
    payload = make_payload(
        model_dir, checkpoint=checkpoint, checkpoints=checkpoints
    )
    return _write(out, payload)


def make_payload(
    model_dir: str | os.PathLike,
    *,
    checkpoint: str | None = None,
    checkpoints: int = 1,
) -> dict[str, Any]:
    """Returns what a page knows about a run: see `exporting.payload`.

    Args:
        model_dir: As for `write_run`.
        checkpoint: As for `write_run`.
        checkpoints: As for `write_run`.

    Raises:
        FileNotFoundError, ValueError: As for `write_run`.
    """
    model_dir, checkpoint = model_dirs.split(model_dir, checkpoint)
    name = os.path.basename(os.path.abspath(model_dir))
    shown, start, vocabulary = snapshots.load(
        model_dir, checkpoint, checkpoints
    )
    quantization.check(shown[start].model)
    curve = snapshots.curve(model_dir)
    corpus = training_text.find(model_dir, shown[start].path, vocabulary)
    return {
        **_payload(
            shown, start, vocabulary, name=name, curve=curve, corpus=corpus
        ),
        'python': _python(model_dir, name, checkpoint),
    }


def _python(model_dir, name, checkpoint):
    if checkpoint not in ('latest', 'best'):
        name = os.path.join(name, os.path.relpath(checkpoint, model_dir))
    return card.python(name, checkpoint if checkpoint == 'best' else None)


def render(payload: dict[str, Any], folder: pathlib.Path = PAGE) -> str:
    """Returns the HTML of a page.

    Args:
        payload: From `make_payload`.
        folder: Where page.html, style.css and the modules are.

    Raises:
        ValueError: page.html lacks a place, or the modules cannot be bundled.
    """
    script = bundle(folder)
    style = (folder / 'style.css').read_text('utf-8')
    parts = {
        'csp': _policy(script, style),
        'title': html.escape(payload['name']),
        'style': style,
        'payload': payloads.write(payload),
        'script': script,
    }
    template = (folder / 'page.html').read_text('utf-8')
    places = re.findall(r'\{\{(\w+)\}\}', template)
    if sorted(places) != sorted(parts):
        raise ValueError(
            f'page.html has the places {places}, but needs each of '
            f'{list(parts)} once.'
        )
    return re.sub(r'\{\{(\w+)\}\}', lambda match: parts[match[1]], template)


def _payload(shown, start, vocabulary, *, name, curve=(), corpus=None):
    """Returns the payload of some snapshots, `shown[start]` first."""
    losses = {point.step: point.valid for point in curve}
    generator = Generator(shown[start].model, vocabulary)
    text = _held_out(corpus)
    loss = losses.get(shown[start].step)
    return {
        **payloads.describe(shown[start].model, vocabulary, name=name),
        'checkpoints': [
            {
                'label': '' if each.step is None else f'{each.step:,}',
                'step': each.step,
                'best': each.is_best,
                'loss': losses.get(each.step),
                'weights': payloads.weights_of(each.model),
            }
            for each in shown
        ],
        'start': start,
        'curve': [point._asdict() for point in curve],
        'units': _units(generator, text),
        'sampleText': text[:_SAMPLE],
        'card': card.describe(shown[start], generator, corpus, loss=loss),
        'python': '',
    }


def _held_out(corpus: Corpus | None) -> str:
    """Returns some text that the model was not trained on, from a line on."""
    if corpus is None:
        return ''
    text = corpus.vocabulary.decode(corpus.valid[:_MEASURED])
    _, _, rest = text.partition('\n')
    return rest or text


def _units(generator: Generator, text: str) -> list[dict[str, Any]]:
    """Returns the units that follow features of a text."""
    if not text:
        return []
    return [
        {payloads.camel_case(k): v for k, v in unit._asdict().items()}
        for unit in find_units(generator, text, count=_UNITS)
    ]


def _write(out: str | os.PathLike, payload: dict[str, Any]):
    """Writes a page, and says if it is a large one."""
    text = render(payload)
    size = len(text.encode('utf-8'))
    if size > LARGE:
        logging.warning(
            'The page has %.1f MB, so a browser may take seconds to open it. '
            'A smaller model, or fewer `checkpoints`, make a smaller page.',
            size / 1e6,
        )
    out = pathlib.Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write(out, text)
    return [out]


def _policy(script: str, style: str) -> str:
    """Returns a policy that allows the script and the style, and no more."""
    scripts = _hash(script)
    if 'WebAssembly' in script:
        scripts += " 'wasm-unsafe-eval'"
    # The worker is made of the text of the script.
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(style)}; "
        "worker-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode('utf-8')).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
