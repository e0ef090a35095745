import functools
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.generation import reading
from tfcharrnn.text.words import WordVocabulary

CHARS = '\n abcdefghij'
LENGTH = 100  # Longer than the largest pieces of a stream.
SEED = 7
OPTIONS = (
    {},
    {'temperature': 0.0},
    {'temperature': 0.5},
    {'top_k': 3},
    {'top_p': 0.6},
    {'temperature': 2.0, 'top_k': 5, 'top_p': 0.9, 'stop': 'a'},
    {'stop': 'ab'},
)


class Elman(tfcharrnn.RNNCell):
    """A cell of a user's own, with the plain loop."""

    def __init__(self, input_size, units):
        super().__init__(input_size, units)
        self.w = tf.Variable(tf.zeros([input_size, units]))
        self.u = tf.Variable(tf.zeros([units, units]))

    def __call__(self, inputs, state):
        state = tf.tanh(inputs @ self.w + state @ self.u)
        return state, state


class Cycle:
    """Writes the vocabulary in its order, round and round; no RNN at all."""

    def __init__(self, vocab_size):
        self.vocab_size = vocab_size

    def initial_state(self, batch_size):
        return {'seen': tf.zeros([batch_size], tf.int32)}

    def __call__(self, inputs, state):
        following = (inputs + 1) % self.vocab_size
        logits = 1e3 * tf.one_hot(following, self.vocab_size)
        return logits, {'seen': state['seen'] + tf.shape(inputs)[1]}

    def step(self, ids, state):
        logits, state = self(ids[:, tf.newaxis], state)
        return logits[:, 0], state


class Spy:
    """A model that tells when it is traced and what it predicted."""

    def __init__(self, model):
        self.model = model
        self.vocab_size = model.vocab_size
        self.initial_state = model.initial_state
        self.num_traces = 0
        self.logits = []

    def __call__(self, inputs, state):
        self.num_traces += 1
        return self.model(inputs, state)

    def step(self, ids, state):
        self.num_traces += 1
        logits, state = self.model.step(ids, state)
        tf.numpy_function(self.logits.append, [logits], [])
        return logits, state


def make_generator(chars=CHARS, cell='gru', num_layers=1):
    """With a model whose predictions depend on all that it has read."""
    model = tfcharrnn.CharRNN(len(chars), 8, 16, num_layers, cell)
    for number, variable in enumerate(model.trainable_variables):
        values = tf.random.stateless_normal(variable.shape, [1, number])
        variable.assign(0.5 * values)
    return tfcharrnn.Generator(model, tfcharrnn.Vocabulary(chars))


# What was compiled for one test serves the others.
the_generator = functools.cache(make_generator)


@functools.cache
def the_lines(model):
    vocabulary = tfcharrnn.Vocabulary(CHARS, lines=True)
    return tfcharrnn.Generator(model, vocabulary)


@functools.cache
def the_cycle():
    chars = 'abcdefghijklmnopqrstuvwxyz'
    model = Cycle(len(chars))
    return tfcharrnn.Generator(model, tfcharrnn.Vocabulary(chars))


def make_reader(generator):
    """A function from a text to the logits [T, V] after each character."""
    model = generator.model

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.int32)])
    def read(ids):
        logits, _ = model(ids, model.initial_state(1))
        return logits[0]

    def read_text(text):
        return read(generator.vocabulary.encode(text).astype(np.int32)[None])

    return read_text


def most_probable(logits):
    return CHARS[int(tf.argmax(logits))]


def random_text(length, chars=CHARS):
    rng = np.random.default_rng(length)
    return ''.join(rng.choice(list(chars), length))


class GenerateTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        'gru', 'lstm', 'mingru', 'vanilla', 'mogrified_lstm', Elman
    )
    def test_greedy_is_the_argmax_of_the_model_each_time(self, cell):
        generator = the_generator(cell=cell, num_layers=2)
        read = make_reader(generator)
        text = 'a bad '
        for _ in range(30):  # No state is kept from one to the next.
            text += most_probable(read(text)[-1])
        self.assertEqual(
            generator.generate('a bad ', 30, temperature=0.0), text
        )

    def test_top_1_is_greedy(self):
        generator = the_generator()
        self.assertEqual(
            generator.generate('bad', LENGTH, top_k=1, seed=1),
            generator.generate('bad', LENGTH, temperature=0.0, seed=2),
        )

    @parameterized.parameters('gru', 'lstm', Elman)
    def test_the_logits_are_those_of_reading_the_written_text(self, cell):
        generator = the_generator(cell=cell)
        spy = Spy(generator.model)
        text = tfcharrnn.Generator(spy, generator.vocabulary).generate(
            'bad ', LENGTH, seed=SEED
        )
        written = np.concatenate(spy.logits)
        read = make_reader(generator)(text[:-1])
        self.assertAllClose(written, read[-LENGTH:], 1e-4, 1e-4)
        ids = generator.vocabulary.encode(text)
        drawn = tf.nn.log_softmax(written).numpy()[range(LENGTH), ids[-LENGTH:]]
        self.assertAllClose(drawn, generator.score(text)[-LENGTH:], 1e-4, 1e-4)

    def test_text_is_drawn_as_scored(self):
        # Each first character as often as its probability says.
        generator = the_generator()
        num_samples = 20_000
        texts = generator.generate('bad', 1, num_samples=num_samples, seed=SEED)
        for char in CHARS:
            probability = np.exp(generator.score('bad' + char)[-1])
            deviation = np.sqrt(probability * (1 - probability) * num_samples)
            self.assertAllClose(
                texts.count('bad' + char),
                probability * num_samples,
                rtol=0,
                atol=4 * deviation,
            )

    @parameterized.parameters(*OPTIONS)
    def test_same_seed_same_text_whatever_the_number_of_samples(
        self, **options
    ):
        generator = the_generator()
        options['seed'] = SEED
        alone = generator.generate('bad', LENGTH, **options)
        five = generator.generate('bad', LENGTH, num_samples=5, **options)
        self.assertLen(five, 5)
        self.assertEqual(five[0], alone)
        for count in (1, 2):
            self.assertEqual(
                generator.generate('bad', LENGTH, num_samples=count, **options),
                five[:count],
            )
        is_greedy = options.get('temperature') == 0.0
        self.assertEqual(len(set(five)) == 1, is_greedy)

    def test_same_seed_same_text_from_another_generator(self):
        self.assertEqual(
            make_generator().generate('bad', LENGTH, seed=SEED),
            make_generator().generate('bad', LENGTH, seed=SEED),
        )

    def test_a_shorter_text_is_the_beginning_of_a_longer_one(self):
        generator = the_generator()
        longer = generator.generate('bad', LENGTH, seed=SEED)
        self.assertStartsWith(longer, generator.generate('bad', 9, seed=SEED))

    @parameterized.parameters(
        (0, 1), (1, -1), (0, 1 << 32), ((1 << 63) - 1, -(1 << 63)), (None, None)
    )
    def test_other_seeds_write_other_texts(self, seed, other):
        generator = the_generator()
        self.assertNotEqual(
            generator.generate('bad', LENGTH, seed=seed),
            generator.generate('bad', LENGTH, seed=other),
        )

    def test_a_fresh_seed_is_logged_and_writes_the_same_again(self):
        generator = the_generator()
        with self.assertLogs(level='INFO') as logs:
            text = generator.generate('bad', LENGTH)
        seed = int(logs.output[0].rpartition('=')[2].rstrip('.'))
        self.assertEqual(generator.generate('bad', LENGTH, seed=seed), text)

    def test_is_a_string_or_a_list_for_a_number_of_samples(self):
        generator = the_cycle()
        self.assertEqual(generator.generate('abc', 3), 'abcdef')
        self.assertEqual(
            generator.generate('abc', 3, num_samples=1), ['abcdef']
        )

    @parameterized.parameters('', 'a', 'a bad ')
    def test_of_length_0_is_the_prompt(self, prompt):
        generator = the_generator()
        self.assertEqual(generator.generate(prompt, 0), prompt)
        self.assertEqual(
            generator.generate(prompt, 0, num_samples=2), [prompt] * 2
        )

    @parameterized.parameters(
        ('\n abc', '\n'), ('cab\n', '\n'), ('ab c', ' '), ('cab', 'c')
    )
    def test_an_empty_prompt_goes_on_from_a_start_that_is_left_out(
        self, chars, start
    ):
        generator = the_generator(chars)
        self.assertEqual(
            start + generator.generate('', LENGTH, seed=SEED),
            generator.generate(start, LENGTH, seed=SEED),
        )

    def test_a_long_prompt_is_read_to_its_end(self):
        generator = the_generator()
        read = make_reader(generator)
        for num_chars in (reading._PIECE, reading._PIECE + 1, 10_000):
            prompt = random_text(num_chars)
            self.assertEqual(
                generator.generate(prompt, 1, temperature=0.0),
                prompt + most_probable(read(prompt)[-1]),
            )

    @parameterized.parameters(1, 2, 7)
    def test_pieces_of_a_prompt_are_the_whole(self, size):
        generator = the_generator()
        prompt = random_text(50)
        whole = generator.generate(prompt, LENGTH, seed=SEED)
        with mock.patch.object(reading, '_PIECE', size):
            pieces = generator.generate(prompt, LENGTH, seed=SEED)
        self.assertEqual(pieces, whole)

    def test_new_weights_write_at_once(self):
        generator = make_generator()
        generator.generate('bad', LENGTH)
        bias = 1e6 * tf.one_hot(CHARS.index('j'), len(CHARS))
        generator.model.bias.assign(bias)
        self.assertEqual(generator.generate('bad', 3), 'badjjj')

    def test_is_compiled_once_for_each_number_of_samples(self):
        generator = make_generator()
        spy = Spy(generator.model)
        generator = tfcharrnn.Generator(spy, generator.vocabulary)

        def generate(number):
            generator.generate(
                random_text(1 + number),
                10 * number,
                temperature=0.5 * number,
                stop=None if number % 2 else random_text(1 + number),
                seed=number or None,
            )
            list(generator.stream(random_text(100 * number), 10 * number))
            generator.score(random_text(300 * number))

        generate(1)
        num_traces = spy.num_traces
        for number in range(5):
            generate(number)
        self.assertEqual(spy.num_traces, num_traces)
        generator.generate('bad', 5, num_samples=3)
        generator.generate('bad', 50, num_samples=3)
        self.assertEqual(spy.num_traces, num_traces + 1)


class StopTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters('b', 'bc', 'fghij', 'z', 'za', 'nopqrstuvwxyzab')
    def test_the_text_ends_before_it(self, stop):
        generator = the_cycle()
        endless = generator.generate('a', LENGTH, seed=SEED)
        expected = 'a' + endless[1:].split(stop)[0]
        text = generator.generate('a', LENGTH, stop=stop)
        self.assertEqual(text, expected)
        self.assertNotIn(stop, text[1:])

    @parameterized.parameters(1, 4)
    def test_cuts_each_of_several_texts(self, num_samples):
        generator = the_generator()
        options = {'num_samples': num_samples, 'seed': SEED}
        endless = generator.generate('bad', LENGTH, **options)
        for stop in CHARS[:3] + 'j':
            for size in (1, 2):
                stop = stop[0] * size
                self.assertEqual(
                    generator.generate('bad', LENGTH, stop=stop, **options),
                    ['bad' + text[3:].split(stop)[0] for text in endless],
                )

    def test_nothing_more_is_computed_once_all_texts_have_it(self):
        generator = the_generator()
        spy = Spy(generator.model)
        generator = tfcharrnn.Generator(spy, generator.vocabulary)
        texts = generator.generate(
            '', 10 * LENGTH, stop='a', num_samples=4, seed=SEED
        )
        longest = max(map(len, texts))
        self.assertLess(longest, LENGTH)
        self.assertLen(spy.logits, longest + len('a'))

    def test_counts_in_what_is_written_not_in_the_prompt(self):
        generator = the_cycle()
        for stop in ('ab', 'bc'):  # Before the end of the prompt, and over it.
            text = generator.generate('ab', LENGTH, stop=stop)
            again = 'abcdefghijklmnopqrstuvwxyzabc'.rindex(stop)
            self.assertLen(text, again)

    def test_that_is_not_complete_at_the_end_is_text(self):
        generator = the_cycle()
        self.assertEqual(generator.generate('a', 3, stop='cde'), 'abcd')
        self.assertEqual(''.join(generator.stream('a', 3, stop='cde')), 'abcd')


class StreamTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*OPTIONS)
    def test_pieces_are_the_generated_text(self, **options):
        generator = the_generator()
        for prompt in ('', 'a bad '):
            for seed in range(3):
                pieces = list(
                    generator.stream(prompt, LENGTH, seed=seed, **options)
                )
                self.assertEqual(
                    ''.join(pieces),
                    generator.generate(prompt, LENGTH, seed=seed, **options),
                )
                self.assertNotIn('', pieces)

    def test_the_prompt_and_the_first_character_come_at_once(self):
        spy = Spy(the_cycle().model)
        generator = tfcharrnn.Generator(spy, the_cycle().vocabulary)
        pieces = generator.stream('abc', LENGTH)
        self.assertEqual([next(pieces), next(pieces)], ['abc', 'd'])
        self.assertLen(spy.logits, 1)
        self.assertLess(max(map(len, pieces)), LENGTH / 2)

    @parameterized.parameters(
        # The pieces end after b, d, h and p.
        'b', 'c', 'bc', 'cd', 'de', 'bcde', 'cdefghijklmnopq', 'gh', 'hi', 'pq'
    )  # fmt: skip
    def test_hands_out_nothing_of_a_stop_that_pieces_cut(self, stop):
        text = ''.join(the_cycle().stream('a', LENGTH, stop=stop))
        self.assertEqual(text, 'abcdefghijklmnopq'.split(stop)[0])

    def test_of_length_0_is_the_prompt_alone(self):
        self.assertEqual(list(the_generator().stream('bad', 0)), ['bad'])
        self.assertEqual(list(the_generator().stream('', 0)), [])


class ScoreTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        1, 2, reading._PIECE, reading._PIECE + 1, 3 * reading._PIECE
    )
    def test_is_the_log_probability_after_all_characters_before(self, length):
        generator = the_generator()
        text = random_text(length)
        read = tf.nn.log_softmax(make_reader(generator)(text)).numpy()
        ids = generator.vocabulary.encode(text)
        scores = generator.score(text)
        self.assertEqual(scores.shape, (length,))
        self.assertEqual(scores.dtype, np.float32)
        self.assertAllClose(
            scores[1:], read[range(length - 1), ids[1:]], 1e-4, 1e-4
        )

    def test_all_texts_together_are_certain(self):
        generator = the_generator('\nab')
        texts = [a + b for a in '\nab' for b in '\nab']
        probabilities = [np.exp(generator.score(t).sum()) for t in texts]
        self.assertAllClose(sum(probabilities), 1.0)

    def test_the_first_character_comes_after_the_start(self):
        generator = the_generator()
        self.assertAllClose(
            generator.score('bad')[0], generator.score('\nb')[1]
        )

    def test_of_no_text_is_empty(self):
        self.assertEqual(the_generator().score('').shape, (0,))

    def test_of_a_certain_text_is_zero(self):
        self.assertAllEqual(the_cycle().score('bcdefg'), np.zeros(6))


class ErrorTest(tf.test.TestCase, parameterized.TestCase):
    def test_unseen_characters_are_named_with_their_positions(self):
        generator = the_generator()
        for call in (
            lambda text: generator.generate(text, 5),
            lambda text: generator.stream(text, 5),
            lambda text: generator.generate('', 5, stop=text),
            generator.score,
        ):
            with self.assertRaisesRegex(ValueError, "'X' at 2"):
                call('abX')

    @parameterized.parameters(
        ({'length': -1}, '`length` is -1,.* from 0 '),
        ({'length': 2.5}, '`length` is 2.5,.*whole number'),
        ({'length': None}, '`length` is None,.*whole number'),
        ({'length': 1 << 31}, '`length`.*2147483648,.* to 2147483647'),
        ({'temperature': -1.0}, '`temperature`.*-1'),
        ({'temperature': [0.5, 1.0]}, '`temperature`.*one number'),
        ({'temperature': 'warm'}, "`temperature`.*'warm'.*number"),
        ({'top_k': 0}, '`top_k`'),
        ({'top_p': 1.5}, '`top_p`'),
        ({'stop': ''}, '`stop`'),
        ({'seed': 1 << 63}, '`seed`'),
        ({'seed': 0.5}, '`seed`'),
    )
    def test_what_makes_no_sense_is_refused_at_the_call(self, wrong, message):
        arguments = {'prompt': 'bad', 'length': 5, **wrong}
        generator = the_generator()
        with self.assertRaisesRegex(ValueError, message):
            generator.generate(**arguments)
        with self.assertRaisesRegex(ValueError, message):
            generator.stream(**arguments)

    @parameterized.parameters(0, -1, 1.5, True)
    def test_a_number_of_samples_is_positive(self, num_samples):
        with self.assertRaisesRegex(ValueError, '`num_samples`'):
            the_generator().generate('', 5, num_samples=num_samples)

    @parameterized.parameters('generate', 'stream')
    def test_an_unknown_keyword_is_named(self, method):
        with self.assertRaisesRegex(TypeError, 'temprature'):
            getattr(the_generator(), method)('', 5, temprature=0.5)

    def test_whole_numbers_of_any_type_are_the_same(self):
        generator = the_generator()
        self.assertEqual(
            generator.generate(
                'bad', 5.0, top_k=3.0, num_samples=2.0, seed=7.0
            ),
            generator.generate(
                'bad',
                np.int64(5),
                top_k=np.int32(3),
                num_samples=np.uint8(2),
                seed=7,
            ),
        )

    def test_a_vocabulary_of_another_size_is_refused(self):
        with self.assertRaisesRegex(ValueError, '12 characters.* 3'):
            tfcharrnn.Generator(
                the_generator().model, tfcharrnn.Vocabulary('abc')
            )


class FromCheckpointTest(tf.test.TestCase):
    def test_writes_and_scores_as_before_saving(self):
        model_dir = self.get_temp_dir()
        before = the_generator()
        trainer = tfcharrnn.Trainer(before.model, tf.keras.optimizers.Adam())
        path = tfcharrnn.Checkpointer(
            model_dir, trainer, before.vocabulary
        ).save()
        for checkpoint in (None, 'latest', path):
            after = tfcharrnn.Generator.from_checkpoint(model_dir, checkpoint)
            self.assertEqual(
                after.generate('bad', LENGTH, seed=SEED),
                before.generate('bad', LENGTH, seed=SEED),
            )
            self.assertAllEqual(after.score('bad'), before.score('bad'))

    def test_a_cell_of_a_users_own_is_passed_to_build(self):
        model_dir = self.get_temp_dir()
        before = the_generator(cell=Elman)
        trainer = tfcharrnn.Trainer(before.model, tf.keras.optimizers.Adam())
        tfcharrnn.Checkpointer(model_dir, trainer, before.vocabulary).save()
        after = tfcharrnn.Generator.from_checkpoint(
            model_dir,
            build=lambda **config: tfcharrnn.CharRNN(
                **{**config, 'cell': Elman}
            ),
        )
        self.assertAllEqual(after.score('bad'), before.score('bad'))

    def test_no_model_is_an_error_that_says_so(self):
        with self.assertRaisesRegex(FileNotFoundError, 'no trained model'):
            tfcharrnn.Generator.from_checkpoint('/there/is/none')


class LinesTest(tf.test.TestCase, parameterized.TestCase):
    """A text is a line: after one newline, and up to the next."""

    def setUp(self):
        super().setUp()
        model = the_generator().model
        # The same model without and with the knowledge that texts are lines.
        self.plain = the_generator()
        self.lines = the_lines(model)

    @parameterized.parameters('', 'b', 'a bad ')
    def test_is_what_follows_a_newline_up_to_the_next(self, prompt):
        for seed in range(10):
            expected = self.plain.generate(
                '\n' + prompt, LENGTH, stop='\n', seed=seed
            )
            text = self.lines.generate(prompt, LENGTH, seed=seed)
            self.assertEqual('\n' + text, expected)
            self.assertStartsWith(text, prompt)
            self.assertNotIn('\n', text)

    def test_ends_by_itself(self):
        for prompt in ('', 'a bad '):
            texts = self.lines.generate(prompt, LENGTH, num_samples=20, seed=1)
            shorter = [len(text) < len(prompt) + LENGTH for text in texts]
            self.assertGreater(sum(shorter), 10)

    def test_goes_on_in_the_middle_of_a_line(self):
        line = self.lines.generate('', LENGTH, temperature=0.0, top_k=1)
        for size in range(len(line)):
            self.assertEqual(
                self.lines.generate(
                    line[:size], LENGTH - size, temperature=0.0
                ),
                line,
            )

    @parameterized.parameters(*OPTIONS)
    def test_a_stream_and_the_first_of_many_are_the_same(self, **options):
        options['seed'] = SEED
        for prompt in ('', 'a bad '):
            text = self.lines.generate(prompt, LENGTH, **options)
            pieces = list(self.lines.stream(prompt, LENGTH, **options))
            many = self.lines.generate(prompt, LENGTH, num_samples=5, **options)
            self.assertEqual(''.join(pieces), text)
            self.assertNotIn('', pieces)
            self.assertLen(many, 5)
            self.assertEqual(many[0], text)
            if prompt:
                self.assertEqual(pieces[0], prompt)

    def test_another_stop_takes_the_place_of_the_end(self):
        options = {'stop': 'ab', 'num_samples': 20, 'seed': SEED}
        texts = self.lines.generate('', LENGTH, **options)
        expected = self.plain.generate('\n', LENGTH, **options)
        self.assertEqual(['\n' + text for text in texts], expected)
        self.assertTrue(any('\n' in text for text in texts))

    @parameterized.parameters('', 'a')
    def test_of_length_0_is_the_prompt(self, prompt):
        self.assertEqual(self.lines.generate(prompt, 0), prompt)
        self.assertEqual(''.join(self.lines.stream(prompt, 0)), prompt)

    def test_is_scored_as_any_text(self):
        for text in ('', 'bad', 'bad\na'):
            self.assertAllEqual(self.lines.score(text), self.plain.score(text))

    def test_of_words(self):
        vocabulary = WordVocabulary(['\n', 'the', ' cat', ' dog'], lines=True)
        tf.keras.utils.set_random_seed(0)
        model = tfcharrnn.CharRNN(len(vocabulary), 4, rnn_units=8)
        generator = tfcharrnn.Generator(model, vocabulary)
        for seed in range(5):
            text = generator.generate('the', 30, seed=seed)
            self.assertStartsWith(text, 'the')
            self.assertNotIn('\n', text)
            self.assertEqual(
                ''.join(generator.stream('the', 30, seed=seed)), text
            )


class WordsTest(tf.test.TestCase):
    """A text of words is made of pieces of text, not of single characters."""

    def setUp(self):
        super().setUp()
        tf.keras.utils.set_random_seed(0)
        self.vocabulary = WordVocabulary.from_text('the catalog dog on cat.\n')
        model = tfcharrnn.CharRNN(len(self.vocabulary), 4, rnn_units=8)
        self.generator = tfcharrnn.Generator(model, self.vocabulary)

    def test_pieces_are_the_text_and_it_stops_at_whole_words(self):
        for stop in (None, ' cat', ' cat.', '\n'):
            for seed in range(5):
                options = {'length': 30, 'stop': stop, 'seed': seed}
                text = self.generator.generate('the', **options)
                pieces = self.generator.stream('the', **options)
                self.assertEqual(''.join(pieces), text)
                whole = self.generator.generate('the', 30, seed=seed)
                self.assertStartsWith(whole, text)
                if text != whole:
                    rest = whole[len(text) :]
                    self.assertStartsWith(rest, stop)
                    self.assertFalse(rest.startswith(f'{stop}alog'))

    def test_a_stop_that_is_never_written_is_refused(self):
        with self.assertRaisesRegex(ValueError, "never writes 'zebra'"):
            self.generator.generate('the', 5, stop='zebra')

    def test_words_of_a_prompt_that_are_not_known_are_named(self):
        with self.assertLogs('absl', 'WARNING') as logs:
            self.generator.generate('the zebra', 5)
        self.assertIn("lacks ' zebra': read as <unk>", logs.output[0])


if __name__ == '__main__':
    tf.test.main()
