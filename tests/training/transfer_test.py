import os
import tempfile

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from running_commands import in_folder

import tfcharrnn
from tfcharrnn import CharRNN, Checkpointer, Trainer, Vocabulary, cells
from tfcharrnn.text.words import WordVocabulary
from tfcharrnn.training import transfer
from tfcharrnn.training.transfer import init_from

THERE, HERE = Vocabulary('abcd'), Vocabulary('xdb')
# For each character of HERE, its row in THERE, if it has one.
PAIRS = ((1, 3), (2, 1))


class Doubling(cells.RNNCell):
    """A cell of one's own, with the weights of inputs under another name."""

    def __init__(self, input_size, units):
        super().__init__(input_size, units)
        self.into = tf.Variable(tf.random.normal([units, input_size]))

    def __call__(self, inputs, state):
        state = tf.tanh(2.0 * state + inputs @ tf.transpose(self.into))
        return state, state


def make(vocabulary, **config):
    config = {'embedding_dim': 3, 'rnn_units': 4, **config}
    return CharRNN(len(vocabulary), **config)


def save(model, vocabulary, model_dir='there', **options):
    trainer = Trainer(model, tf.keras.optimizers.SGD(), **options)
    Checkpointer(model_dir, trainer, vocabulary).save()
    return trainer


def logits(model, ids):
    return model(tf.constant([ids]), model.initial_state(1))[0].numpy()


class TransferTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))

    @parameterized.parameters(
        {},
        {'embedding_dim': None},
        {'embedding_dim': None, 'cell': 'lstm', 'num_layers': 2},
        {'tied': True, 'embedding_dim': 4},
        {'cell': 'mingru', 'num_layers': 2, 'residual': True},
        {'cell': 'vanilla', 'layer_norm': True},
        {'cell': Doubling},
        {'cell': Doubling, 'embedding_dim': None},
        # As many rows as columns: sizes alone do not tell which is which.
        {'embedding_dim': None, 'rnn_units': 3},
        {'tied': True, 'embedding_dim': 3, 'rnn_units': 3},
    )
    def test_shared_characters_predict_each_other_as_they_did(self, **config):
        there, here = make(THERE, **config), make(HERE, **config)
        for variable in there.trainable_variables:  # Biases are zero at first.
            variable.assign(tf.random.normal(variable.shape))
        save(there, THERE)
        told = init_from('there', here, HERE)
        self.assertEqual((told.num_kept, told.num_new), (2, 1))
        self.assertEqual(told.num_left, 2)
        ids_here, ids_there = zip(*(PAIRS * 3), strict=True)
        expected = logits(there, ids_there)[..., [old for _, old in PAIRS]]
        actual = logits(here, ids_here)[..., [new for new, _ in PAIRS]]
        np.testing.assert_array_equal(actual, expected)

    def test_the_same_vocabulary_brings_all_along(self):
        there, here = make(THERE), make(THERE)
        save(there, THERE)
        self.assertEqual(init_from('there', here, THERE).num_new, 0)
        for old, new in zip(
            there.trainable_variables, here.trainable_variables, strict=True
        ):
            np.testing.assert_array_equal(old, new)

    def test_new_characters_keep_their_fresh_weights(self):
        save(make(THERE), THERE)
        here = make(HERE)
        fresh = here.embedding.numpy()[0], here.kernel.numpy()[:, 0]
        init_from('there', here, HERE)
        np.testing.assert_array_equal(here.embedding.numpy()[0], fresh[0])
        np.testing.assert_array_equal(here.kernel.numpy()[:, 0], fresh[1])
        self.assertEqual(here.bias.numpy()[0], 0.0)

    def test_strangers_share_all_but_their_characters(self):
        there, here = make(THERE), make(Vocabulary('xyz'))
        save(there, THERE)
        told = init_from('there', here, Vocabulary('xyz'))
        self.assertEqual(told.num_kept, 0)
        np.testing.assert_array_equal(
            here.cells[0].recurrent_kernel, there.cells[0].recurrent_kernel
        )

    def test_words_keep_their_rows_and_so_does_the_unknown_one(self):
        there, here = WordVocabulary(['a', 'b']), WordVocabulary(['b', 'c'])
        source, model = make(there), make(here)
        save(source, there)
        told = init_from('there', model, here)
        self.assertEqual(
            str(told),
            'Weights from there: 2 of 3 tokens keep theirs, 1 start fresh; 1 '
            'that only the other model knows are left out.',
        )
        np.testing.assert_array_equal(
            model.embedding.numpy()[:2], source.embedding.numpy()[[0, 2]]
        )

    def test_averages_come_along_where_there_are_any(self):
        source = make(THERE)
        trainer = save(source, THERE, average=0.9)
        trainer.averages.variables[0].assign(
            tf.ones_like(trainer.averages.variables[0])
        )
        trainer.step_variable.assign(1)
        Checkpointer('averaged', trainer, THERE).save()
        here = make(THERE)
        init_from('averaged', here, THERE)
        np.testing.assert_array_equal(
            here.trainable_variables[0],
            np.ones(here.trainable_variables[0].shape),
        )

    def test_what_was_brought_along_is_there_before_the_first_step(self):
        save(make(THERE), THERE)
        model = make(THERE)
        trainer = Trainer(model, tf.keras.optimizers.SGD(), average=0.9)
        init_from('there', model, THERE)
        Checkpointer('here', trainer, THERE).save()
        saved, _ = tfcharrnn.load_model('here')
        np.testing.assert_array_equal(saved.kernel, model.kernel)

    def test_precision_dropout_and_penalties_may_differ(self):
        save(make(THERE, dropout=0.5, compute_dtype='bfloat16'), THERE)
        init_from('there', make(HERE, activation_penalty=0.1), HERE)

    @parameterized.parameters(
        ({'rnn_units': 5}, '`rnn_units` is 4 there and 5 here'),
        ({'cell': 'lstm'}, '`cell` is gru there and lstm here'),
        ({'num_layers': 2}, '`num_layers` is 1 there and 2 here'),
        ({'layer_norm': True}, '`layer_norm` is off there and True here'),
        ({'cell': Doubling}, '`cell` is gru there and Doubling here'),
        (
            {'embedding_dim': None, 'cell': 'lstm'},
            '`cell` is gru .*; `embedding_dim` is 3 there and None here',
        ),
    )
    def test_other_layers_are_refused_and_named(self, config, message):
        save(make(THERE), THERE)
        here = make(HERE, **config)
        before = [variable.numpy() for variable in here.trainable_variables]
        with self.assertRaisesRegex(ValueError, f'other layers: {message}'):
            init_from('there', here, HERE)
        for old, new in zip(before, here.trainable_variables, strict=True):
            np.testing.assert_array_equal(old, new)

    def test_words_from_characters_are_refused(self):
        save(make(THERE), THERE)
        words = WordVocabulary(['a'])
        with self.assertRaisesRegex(ValueError, 'reads characters, but this'):
            init_from('there', make(words), words)

    def test_a_folder_without_a_model_is_refused(self):
        with self.assertRaisesRegex(FileNotFoundError, 'no trained model'):
            init_from('nowhere', make(HERE), HERE)

    def test_takes_the_best_or_any_checkpoint_too(self):
        model = make(THERE)
        trainer = Trainer(model, tf.keras.optimizers.SGD())
        checkpointer = Checkpointer('there', trainer, THERE)
        for step, loss in enumerate((2.0, 3.0)):
            trainer.step_variable.assign(step)
            model.bias.assign(tf.fill([4], float(step)))
            checkpointer(trainer, {'valid_loss': loss})
        for source, bias in (
            ('there', 1.0),
            ('there/best', 0.0),
            ('there/ckpt-0', 0.0),
            ('there/ckpt-1', 1.0),
            (os.path.join('there', 'best', 'ckpt-0'), 0.0),
        ):
            here = make(HERE)
            init_from(source, here, HERE)
            self.assertEqual(here.bias.numpy().tolist(), [0.0, bias, bias])

    def test_the_settings_of_layers_are_those_of_the_command(self):
        save(make(THERE, embedding_dim=None, cell='lstm', dropout=0.5), THERE)
        self.assertEqual(
            transfer.layer_settings('there'),
            {
                'cell': 'lstm',
                'rnn_units': 4,
                'num_layers': 1,
                'embedding_dim': 0,
            },
        )

    def test_is_the_public_name(self):
        self.assertIs(tfcharrnn.init_from, init_from)


if __name__ == '__main__':
    tf.test.main()
