"""SavedModel: text in, text out, in one graph that needs TensorFlow alone.

    generate(prompts [N], length, temperature, top_k, top_p, seed) -> texts [N]
    score(texts [N]) -> scores [N, T], lengths [N]

Characters become ids and ids become characters in the graph:

    'ab' --unicode_split--> 'a', 'b' --table--> 0, 1 --step--> 2 --gather--> 'c'

There is no function that XLA compiles, since TensorFlow Serving refuses those.

Reference: https://www.tensorflow.org/guide/saved_model
"""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfcharrnn import files
from tfcharrnn.generation import sampling
from tfcharrnn.generation.float32 import uncompiled
from tfcharrnn.text.vocabulary import Vocabulary

_FILE = 'saved_model.pb'
_COMPILED = '_XlaMustCompile'
# As tensors, these defaults are those of the signature, too.
_LENGTH, _TEMPERATURE = tf.constant(500), tf.constant(1.0)
_TOP_K, _TOP_P, _SEED = (
    tf.constant(0),
    tf.constant(1.0),
    tf.constant(0, 'int64'),
)


def write(
    model: Any, vocabulary: Vocabulary, out: pathlib.Path
) -> list[pathlib.Path]:
    """Writes a model; see `formats.save`.

    Raises:
        ValueError: `out` is something else than a SavedModel, the vocabulary
            is of words, or the model has functions that XLA compiles.
    """
    if out.exists() and not (out / _FILE).exists() and any(_inside(out)):
        raise ValueError(
            f"'{out}' is something else than a SavedModel, so it is not "
            'replaced. Give another `out`.'
        )
    writer = _TextModel(model, vocabulary)
    signatures = {'generate': writer.generate, 'score': writer.score}
    with files.replacing_folder(out) as folder:
        tf.saved_model.save(writer, str(folder), signatures)
        if _has_compiled(folder / _FILE):
            raise ValueError(
                f'A step of {type(model).__name__} has functions that XLA '
                'compiles (jit_compile), which TensorFlow Serving refuses. '
                'Leave that out of its cells.'
            )
    return [out]


class _TextModel(tf.Module):
    r"""Writes and scores texts in graphs: what `write` saves.

    >>> from tfcharrnn.nn.char_rnn import CharRNN
    >>> vocabulary = Vocabulary('\nab')
    >>> model = _TextModel(CharRNN(3, rnn_units=8), vocabulary)
    >>> texts = model.generate(['a', 'abba'], length=5, seed=1)['texts']
    >>> [len(text) for text in texts.numpy()]
    [6, 9]
    """

    def __init__(self, model: Any, vocabulary: Vocabulary):
        """Takes a model and its vocabulary: see `Generator`.

        Raises:
            ValueError: The vocabulary is of words, or has half a character.
        """
        super().__init__()
        if type(vocabulary) is not Vocabulary:
            raise ValueError(
                'The format saved_model holds models of characters, but this '
                'one is of words (--level=word).'
            )
        try:
            tokens = [token.encode() for token in vocabulary.tokens]
        except UnicodeEncodeError as error:
            raise ValueError(
                f'The vocabulary has {error.object!r}, which is not valid in '
                'UTF-8, so the format saved_model cannot hold it.'
            ) from error
        # A method is no part of what is saved, unlike the model with all the
        # functions that it has.
        self._step = uncompiled(model).step
        self._zero_state = model.initial_state
        self._weights = list(model.variables)
        self._ends_lines = vocabulary.lines
        self._tokens = tf.constant(tokens)
        ids = tf.range(len(tokens))
        initial = tf.lookup.KeyValueTensorInitializer(self._tokens, ids)
        self._table = tf.lookup.StaticHashTable(initial, default_value=-1)
        before = [char for char in '\n ' if char in vocabulary]
        start = vocabulary.encode(before[0])[0] if before else 0
        self._start = tf.constant(start, tf.int32)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, 'prompts'),
            tf.TensorSpec([], tf.int32, 'length'),
            tf.TensorSpec([], tf.float32, 'temperature'),
            tf.TensorSpec([], tf.int32, 'top_k'),
            tf.TensorSpec([], tf.float32, 'top_p'),
            tf.TensorSpec([], tf.int64, 'seed'),
        ],
        autograph=False,
    )
    def generate(
        self,
        prompts,
        length=_LENGTH,
        temperature=_TEMPERATURE,
        top_k=_TOP_K,
        top_p=_TOP_P,
        seed=_SEED,
    ):
        """Writes a text after each prompt; see `Generator.generate`.

        Text `n` is that of sample `n` after the same prompt, seed and all.

        Args:
            prompts: [N] strings, UTF-8.
            length: How many characters to write, at most.
            temperature: 0 is greedy.
            top_k: 0 for all characters.
            top_p: 1 for all characters.
            seed: 64 bits.

        Returns:
            `texts` [N], with their prompts.
        """
        checks = [
            _require(length >= 0, 'length must be 0 or more', length),
            _require(
                (temperature >= 0.0) & (temperature <= 1e30),
                'temperature must be a number from 0 up',
                temperature,
            ),
            _require(top_k >= 0, 'top_k must be 0 (all) or more', top_k),
            _require(
                (top_p > 0.0) & (top_p <= 1.0),
                'top_p must be above 0, up to 1',
                top_p,
            ),
        ]
        with tf.control_dependencies(checks):
            ids, lengths = self._encode(prompts, self._ends_lines)
        state, last = self._read(ids, lengths)
        size = tf.shape(self._tokens)[0]
        options = {
            'temperature': temperature,
            'top_k': tf.where(tf.equal(top_k, 0), size, top_k),
            'top_p': top_p,
        }
        written = self._write(last, state, length, seed, options)
        texts = tf.strings.reduce_join(tf.gather(self._tokens, written), 1)
        if self._ends_lines:
            texts = tf.strings.regex_replace(texts, r'(?s)\n.*', '')
        return {'texts': prompts + texts}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, 'texts')],
        autograph=False,
    )
    def score(self, texts):
        """Computes how probable each character is; see `Generator.score`.

        Args:
            texts: [N] strings, UTF-8.

        Returns:
            `scores` [N, T], log-probabilities in nats, 0 after the end of a
            text; and `lengths` [N], the number of its characters.
        """
        ids, lengths = self._encode(texts, begins=False)
        num_texts, length = tf.unstack(tf.shape(ids))
        ids = tf.pad(ids, [[0, 0], [0, 1]])
        scores = _rows(tf.zeros([num_texts]), length)
        zero_state = self._zero_state(num_texts)

        def log_probability(logits, t):
            all_scores = tf.nn.log_softmax(logits)
            return tf.gather(all_scores, ids[:, t], batch_dims=1)

        def body(t, state, logits, scores):
            scores = scores.write(t, log_probability(logits, t))
            logits, state = self._step(ids[:, t], state)
            return t + 1, state, logits, scores

        # The first character is predicted from what comes before a text.
        first = tf.fill([num_texts], self._start)
        logits, _ = self._step(first, zero_state)
        *_, scores = tf.while_loop(
            lambda t, *_: t < length, body, (0, zero_state, logits, scores)
        )
        inside = tf.sequence_mask(lengths, length)
        scores = tf.transpose(scores.stack()[:length])
        scores = tf.where(inside, scores, 0.0)
        return {'scores': scores, 'lengths': lengths}

    def _encode(self, texts, begins):
        """Returns the ids [N, T] of texts, padded with 0, and lengths [N].

        Args:
            texts: [N] strings.
            begins: Whether each text begins after what comes before a text;
                empty ones may do so in any case.
        """
        chars = tf.strings.unicode_split(texts, 'UTF-8', errors='strict')
        ids = self._table.lookup(chars.flat_values)
        unseen, _ = tf.unique(tf.boolean_mask(chars.flat_values, ids < 0))
        known = _require(
            tf.equal(tf.size(unseen), 0),
            'The vocabulary lacks these characters',
            tf.strings.reduce_join(unseen, separator=' '),
        )
        with tf.control_dependencies([known]):
            ids = chars.with_flat_values(ids)
        if begins:
            starts = tf.fill([chars.nrows(), 1], self._start)
            ids = tf.concat([starts, ids], axis=1)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        return ids.to_tensor(), lengths

    def _read(self, ids, lengths):
        """Reads all ids but the last of each row.

        Returns:
            The state before the last, and the last ids [N].
        """
        empty = tf.equal(lengths, 0)
        ids = tf.where(
            empty[:, None], self._start, tf.pad(ids, [[0, 0], [0, 1]])
        )
        lengths = tf.maximum(lengths, 1)

        def body(t, state):
            _, after = self._step(ids[:, t], state)
            goes_on = t < lengths - 1
            return t + 1, tf.nest.map_structure(
                lambda new, old: tf.where(_column(goes_on, new), new, old),
                after,
                state,
            )

        longest = tf.reduce_max(tf.concat([lengths, [1]], 0))
        state = self._zero_state(tf.shape(ids)[0])
        _, state = tf.while_loop(lambda t, _: t < longest - 1, body, (0, state))
        return state, tf.gather(ids, lengths - 1, batch_dims=1)

    def _write(self, ids, state, length, seed, options):
        """Writes ids [N, T], up to `length` or until each line has its end."""
        texts = _rows(tf.zeros_like(ids), length)
        goes_on = tf.ones_like(ids, tf.bool)

        def unfinished(t, ids, state, goes_on, texts):
            del ids, state, texts
            return (t < length) & tf.reduce_any(goes_on)

        def body(t, ids, state, goes_on, texts):
            logits, state = self._step(ids, state)
            place = tf.stack([seed, tf.cast(t, tf.int64)])
            ids = sampling.sample(logits, place, **options)
            if self._ends_lines:
                goes_on &= tf.not_equal(ids, self._start)
            return t + 1, ids, state, goes_on, texts.write(t, ids)

        t, *_, texts = tf.while_loop(
            unfinished, body, (0, ids, state, goes_on, texts)
        )
        return tf.transpose(texts.stack()[:t])


def _rows(zeros, length):
    """Returns an array for `length` rows; it can be stacked without any."""
    rows = tf.TensorArray(zeros.dtype, tf.maximum(length, 1))
    return rows.write(0, zeros)


def _column(flags, tensor):
    """Gives flags [N] as many axes as a tensor [N, ...] has."""
    ones = tf.ones([tf.rank(tensor) - 1], tf.int32)
    return tf.reshape(flags, tf.concat([[-1], ones], 0))


def _require(condition, message, value):
    return tf.debugging.Assert(condition, [f'{message}:', value], summarize=99)


def _inside(path):
    """Yields what would be lost if a path was replaced."""
    return path.iterdir() if path.is_dir() else [path]


def _has_compiled(path):
    """Whether XLA has to compile a function of a saved model."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    return any(
        function.attr[_COMPILED].b
        for graph in saved.meta_graphs
        for function in graph.graph_def.library.function
    )
