import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from nn import small_models

import tfcharrnn
from tfcharrnn.generation.tracing import Tracer

NAMES = {
    'gru': ['state', 'update', 'reset', 'candidate'],
    'lstm': ['state', 'cell', 'input', 'forget', 'output', 'candidate'],
    'mingru': ['state', 'update', 'candidate'],
    'vanilla': ['state'],
}
NAMES |= {f'mogrified_{name}': NAMES[name] for name in ('gru', 'lstm')}
IDS = np.array([1, 2, 3, 4, 5, 6, 7, 1, 1])


class Sum(tfcharrnn.GRU):
    """Another step than the one that `trace` names."""

    def __call__(self, inputs, state):
        state = state + 1.0
        return state, state


class TracingTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        cell=small_models.CELLS,
        options=[
            {},
            {'num_layers': 2, 'residual': True, 'layer_norm': True},
            {'embedding_dim': None},
            {'compute_dtype': 'bfloat16'},
        ],
    )
    def test_states_are_those_that_the_model_goes_through(self, cell, options):
        model = small_models.build(cell=cell, **options)
        values = Tracer(model).trace(IDS)
        self.assertEqual(list(values), NAMES[cell])
        exact = tfcharrnn.generation.float32.in_float32(model)
        state = exact.initial_state(1)
        for t, id_ in enumerate(IDS):
            _, state = exact.step(tf.constant([id_]), state)
            for layer, after in enumerate(state):
                h, *c = tf.nest.flatten(after)
                self.assertAllClose(values['state'][t, layer], h[0], atol=1e-5)
                if c:
                    self.assertAllClose(
                        values['cell'][t, layer], c[0][0], atol=1e-5
                    )

    def test_gates_of_the_gru_explain_its_state(self):
        values = Tracer(small_models.build(num_layers=2)).trace(IDS)
        h, z, r, candidate = (values[name] for name in NAMES['gru'])
        before = np.concatenate([np.zeros_like(h[:1]), h[:-1]])
        self.assertAllClose(h, z * before + (1 - z) * candidate, atol=1e-6)
        self.assertAllInRange(np.stack([z, r]), 0.0, 1.0)

    def test_gates_of_the_lstm_explain_its_state(self):
        values = Tracer(small_models.build(cell='lstm')).trace(IDS)
        h, c, i, f, o, g = (values[name] for name in NAMES['lstm'])
        before = np.concatenate([np.zeros_like(c[:1]), c[:-1]])
        self.assertAllClose(c, f * before + i * g, atol=1e-6)
        self.assertAllClose(h, o * np.tanh(c), atol=1e-6)

    def test_a_long_text_is_read_in_pieces_without_a_seam(self):
        tracer = Tracer(small_models.build())
        ids = np.tile(IDS, 200)
        long, short = tracer.trace(ids), tracer.trace(ids[:1030])
        self.assertAllEqual(long['state'][:1030], short['state'])
        self.assertEqual(tracer.trace(ids[:0])['state'].shape, (0, 1, 16))

    def test_a_subclass_with_another_step_shows_that_step(self):
        values = Tracer(small_models.build(cell=Sum)).trace(IDS)
        self.assertEqual(list(values), ['state'])
        self.assertAllEqual(values['state'][:, 0, 0], range(1, 10))

    def test_the_generator_names_the_letters_that_the_vocabulary_lacks(self):
        vocabulary = tfcharrnn.Vocabulary('\n abcdefghi')
        model = small_models.build(num_layers=2)
        generator = tfcharrnn.Generator(model, vocabulary)
        self.assertEqual(generator.states('a cab')['state'].shape, (5, 2, 16))
        with self.assertRaisesRegex(ValueError, "'X'"):
            generator.states('aX')

    def test_a_model_without_layers_is_a_sentence(self):
        with self.assertRaisesRegex(ValueError, 'only a CharRNN'):
            Tracer(object())


if __name__ == '__main__':
    tf.test.main()
