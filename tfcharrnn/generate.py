r"""Writes text with a trained model.

Usage: python -m tfcharrnn.generate --model_dir=DIR [--prompt=TEXT] [--flag=...]

The prompt and what follows it go to standard output; a single text appears
while it is being written. Messages go to standard error. For example:

  500 characters of a play, somewhat less random than the model's distribution:
    python -m tfcharrnn.generate --model_dir=demo --prompt='ROMEO: ' \
        --length=500 --temperature=0.8

  The same prompt at three temperatures, each text under a heading:
    python -m tfcharrnn.generate --model_dir=runs/bard --prompt='ROMEO: ' \
        --temperature=0.2,0.5,1.0

  Ten verses from the best checkpoint, each ending with its line:
    python -m tfcharrnn.generate --model_dir=runs/bard --checkpoint=best \
        --stop='\n' --num_samples=10

  As a new play, whose names the model has never seen:
    python -m tfcharrnn.generate --model_dir=runs/bard --adapt_to=tempest.txt

  With the average of two models and of the n-grams of their text:
    python -m tfcharrnn.generate --model_dir=runs/a,runs/b --ngram=7

A model of lines (--lines or --csv_column in training) writes one line, and the
text ends with it unless --stop says otherwise.
"""

from __future__ import annotations

import dataclasses
import secrets
import sys

from tfcharrnn import commands, fields, startup
from tfcharrnn.running.mixture_config import MixtureConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateConfig(MixtureConfig):
    """What is written; see `Generator.generate`."""

    prompt: str | None = fields.text(
        None,
        r'The beginning of the text; \n is a newline, \t a tab, \\ a '
        'backslash. Without a prompt the model writes what follows a newline.',
        escaped=True,
    )
    prompt_file: str | None = fields.text(
        None,
        'A UTF-8 file with the prompt, used unchanged, with its last newline; '
        '- is standard input.',
    )
    precision: str = fields.word(
        'auto',
        'How the weights are read: as in training; in int8, several times '
        'faster and almost as exact (needs LiteRT); or in int8 where that can '
        'be had. With auto, standard error says which it was.',
        ('float32', 'int8', 'auto'),
    )
    adapt_to: str | None = fields.text(
        None,
        'A text that the model learns from before it writes, such as letters '
        'of one author. The model in --model_dir stays as it is.',
    )
    length: int = fields.whole(
        500, 'How many characters to write after the prompt, at most.', low=0
    )
    temperature: tuple[float, ...] = fields.numbers(
        (1.0,),
        "0 is greedy, 1 samples the model's distribution, higher is more "
        'random; or several, separated by commas.',
    )
    top_k: int | None = fields.whole(
        None, 'Draws from this many of the most probable characters only.'
    )
    top_p: float | None = fields.number(
        None,
        'Draws from the most probable characters that together have this '
        'probability only.',
        above=0.0,
        high=1.0,
    )
    stop: str | None = fields.text(
        None,
        r'Ends the text before this string when the model writes it; \n, \t '
        r'and \\ as in --prompt.',
        escaped=True,
    )
    num_samples: int = fields.whole(
        1, 'How many different texts to write, each under a heading.'
    )
    seed: int | None = fields.whole(
        None,
        'The same seed writes the same text. The default is a random seed, '
        'which is reported on standard error.',
        low=-(1 << 63),
        high=(1 << 63) - 1,
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        if self.prompt is not None and self.prompt_file is not None:
            raise ValueError(
                'Give a `prompt`, or a `prompt_file` with one, not both.'
            )
        super().check_together()


FLAGS = commands.define(GenerateConfig)


def main() -> None:
    """Writes the texts that the flags ask for."""
    config = GenerateConfig(**commands.given(FLAGS))
    prompt = config.prompt or ''
    if config.prompt_file is not None:
        prompt = commands.read_text('prompt', config.prompt_file)
    seed = secrets.randbits(32) if config.seed is None else config.seed
    if config.num_samples == 1:
        startup.set_threads()
    startup.import_tensorflow()
    from tfcharrnn.generation.generator import Generator
    from tfcharrnn.nn.mixture import Mixture
    from tfcharrnn.running import adapting, mixing

    model, vocabulary = mixing.load_mixture(
        config.model_dirs,
        config.checkpoint,
        ngram=config.ngram,
        weights=config.weights,
    )
    generator = Generator(model, vocabulary, precision=config.precision)
    if config.adapt_to is not None:
        # What is wrong with the flags is said before the minutes of reading.
        _write(generator, config, prompt, 1.0, seed, num_samples=1)
        bar = commands.ProgressBar(f'Learning from {config.adapt_to}')
        loss = adapting.adapt(
            model,
            vocabulary,
            config.adapt_to,
            model_dir=config.model_dirs[0],
            checkpoint=config.checkpoint,
            report=bar,
        )
        generator = Generator(model, vocabulary, precision=config.precision)
        sys.stderr.write(
            f"Learned from '{config.adapt_to}': {loss:.3f} nats per "
            f'{vocabulary.unit} as it was read.\n'
        )
    for temperature in config.temperature:
        texts = _write(
            generator,
            config,
            prompt,
            temperature,
            seed,
            num_samples=config.num_samples,
        )
        for number, text in enumerate(texts, 1):
            if len(config.temperature) * config.num_samples > 1:
                print(_heading(config, temperature, number))
            for piece in text:
                print(piece, end='', flush=True)
            print(flush=True)
    if isinstance(model, Mixture):
        sys.stderr.write(f'{mixing.describe(model, config.model_dirs)}\n')
    if config.precision == 'auto':
        is_int8 = generator.precision == 'int8'
        why = '' if is_int8 else '; --precision=int8 says why'
        sys.stderr.write(f'Precision: {generator.precision}{why}.\n')
    if config.seed is None:
        sys.stderr.write(f'To write this again: --seed={seed}\n')


def _write(generator, config, prompt, temperature, seed, *, num_samples):
    """Returns texts, each as an iterable of its pieces."""
    keywords = {
        'temperature': temperature,
        'top_k': config.top_k,
        'top_p': config.top_p,
        'stop': config.stop,
        'seed': seed,
    }
    if num_samples == 1:
        return [generator.stream(prompt, config.length, **keywords)]
    texts = generator.generate(
        prompt, config.length, num_samples=num_samples, **keywords
    )
    return [[text] for text in texts]


def _heading(config, temperature, number):
    heading = f'temperature {temperature:g}'
    if config.num_samples > 1:
        heading += f', sample {number} of {config.num_samples}'
    return f'----- {heading} -----'


if __name__ == '__main__':
    commands.run(main, FLAGS)
