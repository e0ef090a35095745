import copy
import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.curricula import ScheduledSampling
from tfcharrnn.nn.mixture import Mixture
from tfcharrnn.training.checkpointer import Checkpointer
from tfcharrnn.training.objectives import Distillation
from tfcharrnn.training.trainer import Trainer


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def start(weight=0.5, teacher=None, **options):
    """A trainer of a model, with a teacher of other weights."""
    model = toys.FrequencyModel()
    objective = Distillation(
        model, teacher or toys.FrequencyModel(), weight=weight
    )
    return toys.make_trainer(model, objective=objective, **options)


def by_hand(trained, teacher, weight, batches):
    """Yields the objective of each batch, with states that are carried on."""
    models, states = (trained.model, teacher), [None, None]
    for batch in batches:
        logits = []
        for i, model in enumerate(models):
            zero = model.initial_state(len(batch.reset))
            state = states[i] or zero
            state = [
                tf.where(
                    tf.reshape(batch.reset, [-1] + [1] * (x.ndim - 1)), z, x
                )
                for z, x in zip(zero, state, strict=True)
            ]
            told, states[i] = model(batch.inputs, state)
            logits.append(told.numpy())
        target = np.eye(toys.VOCAB)[batch.targets]
        target = (1.0 - weight) * target + weight * softmax(logits[1])
        nats = -(target * np.log(softmax(logits[0]))).sum(-1)
        yield nats[batch.mask].mean()


class DistillationTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(0.25, 0.5, 1.0)
    def test_the_objective_is_its_formula_and_both_states_are_carried(
        self, weight
    ):
        teacher = toys.FrequencyModel()
        # A rate of 0: the model stays, so that one pass tells all.
        trained = start(weight, teacher, optimizer=tf.keras.optimizers.SGD(0.0))
        dataset, recorder = toys.random_batches(), toys.Recorder(steps=1)
        trained.train(dataset, 8, [recorder])
        self.assertLen(recorder.calls, 8)
        expected = by_hand(trained, teacher, weight, dataset.starting_at(0))
        for (_, metrics), one in zip(recorder.calls, expected, strict=False):
            self.assertAllClose(metrics['objective'], one, 1e-5)

    def test_the_gradient_is_the_mean_of_that_of_text_and_teacher(self):
        trained = start(weight=0.3)
        batch = next(iter(toys.random_batches().starting_at(0)))
        state = trained.objective.initial_state(len(batch.reset))
        _, gradients, _ = trained.compute_gradients(batch, state)
        teacher = trained.objective._teacher
        told = softmax(teacher(batch.inputs, state[1])[0].numpy())
        with tf.GradientTape(persistent=True) as tape:
            logits, _ = trained.model(batch.inputs, state[0])
            scores = tf.boolean_mask(tf.nn.log_softmax(logits), batch.mask)
            text = tf.gather(
                scores, batch.targets[batch.mask], axis=1, batch_dims=1
            )
            text = -tf.reduce_mean(text)
            soft = -tf.reduce_mean(
                tf.reduce_sum(told[batch.mask] * scores, axis=-1)
            )
        variables = trained.model.trainable_variables
        pairs = zip(
            tape.gradient(text, variables),
            tape.gradient(soft, variables),
            strict=True,
        )
        for gradient, (a, b) in zip(gradients, pairs, strict=True):
            a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
            expected = 0.7 * a + 0.3 * b
            self.assertAllClose(gradient, expected, 1e-5, 1e-6)

    def test_another_vocabulary_is_an_error(self):
        model = tfcharrnn.CharRNN(3, 2, 4)
        with self.assertRaisesRegex(ValueError, 'knows 3 .* the teacher 5'):
            Distillation(model, tfcharrnn.CharRNN(5, 2, 4))

    def test_who_learns_from_itself_alone_learns_nothing(self):
        model = toys.FrequencyModel()
        trained = toys.make_trainer(
            model,
            objective=Distillation(model, copy.deepcopy(model), weight=1.0),
        )
        before = [v.numpy() for v in model.variables]
        metrics = trained.train(toys.random_batches(), 1)
        self.assertAllClose(metrics['gradient_norm'], 0.0, atol=1e-6)
        self.assertAllClose(before, model.variables, 1e-6, 1e-6)

    def test_the_loss_is_that_of_the_text(self):
        trained, dataset = start(), toys.random_batches()
        plain = toys.make_trainer(copy.deepcopy(trained.model))
        self.assertEqual(
            trained.train(dataset, 1)['loss'], plain.train(dataset, 1)['loss']
        )
        self.assertNotAllClose(trained.model.table, plain.model.table)

    def test_an_evaluation_is_without_the_teacher(self):
        trained, dataset = start(), toys.random_batches()
        trained.train(dataset, 3)
        state = trained.state_arrays()
        plain = toys.make_trainer(copy.deepcopy(trained.model))
        self.assertEqual(trained.evaluate(dataset), plain.evaluate(dataset))
        self.assertAllClose(state, trained.state_arrays(), 0, 0)

    def test_the_teacher_stays_as_it_is(self):
        teacher = toys.FrequencyModel()
        before = [v.numpy() for v in teacher.variables]
        start(0.9, teacher).train(toys.random_batches(), 5)
        self.assertAllClose(before, teacher.variables, 0, 0)

    def test_a_student_comes_to_predict_what_the_teacher_does(self):
        teacher = toys.FrequencyModel()
        trained = start(1.0, teacher, optimizer=tf.keras.optimizers.Adam(0.1))
        dataset = toys.streams()
        trained.train(dataset, 300)
        inputs = tf.constant([toys.text(50, seed=1)])
        ours, theirs = (
            softmax(model(inputs, model.initial_state(1))[0].numpy())
            for model in (trained.model, teacher)
        )
        self.assertAllClose(ours, theirs, atol=0.03)

    @parameterized.parameters(3, 11)
    def test_a_restart_carries_both_states_on_bit_for_bit(self, step):
        folder, dataset = tempfile.mkdtemp(), toys.random_batches()
        vocabulary = tfcharrnn.Vocabulary('abcde')
        teacher, made = toys.FrequencyModel(), []

        def trainer():
            tf.random.set_seed(1)
            made.append(start(0.5, teacher, steps_per_loop=1))
            return made[-1]

        whole = trainer()
        whole.train(dataset, 15)
        first = trainer()
        first.train(dataset, step)
        Checkpointer(folder, first, vocabulary).save()
        again = trainer()
        Checkpointer(folder, again, vocabulary).restore()
        again.train(toys.random_batches(), 15)
        self.assertLen(again.state_arrays(), 4)
        toys.assert_same(toys.snapshot(again), toys.snapshot(whole))

    def test_samples_in_the_place_of_inputs_are_read_by_both(self):
        model = toys.FrequencyModel()
        model.vocab_size = toys.VOCAB
        sampling = ScheduledSampling(model, 0.5)
        teacher = toys.FrequencyModel()
        trained = Trainer(
            model,
            tf.keras.optimizers.SGD(0.1),
            objective=Distillation(model, teacher),
            augments=[sampling],
        )
        trained.train(toys.streams(), 3)
        self.assertEqual(trained.step, 3)

    def test_a_mixture_teaches(self):
        members = [tfcharrnn.CharRNN(5, 2, 4) for _ in range(2)]
        model = tfcharrnn.CharRNN(5, 2, 3)
        trained = toys.make_trainer(
            model, objective=Distillation(model, Mixture(members))
        )
        metrics = trained.train(toys.streams(), 3)
        self.assertGreater(metrics['objective'], 0.0)

    @parameterized.parameters(0.0, 1.5, -1.0)
    def test_refuses_a_weight_that_is_out_of_range(self, weight):
        with self.assertRaisesRegex(ValueError, f'`weight` is {weight}'):
            start(weight)


if __name__ == '__main__':
    tf.test.main()
