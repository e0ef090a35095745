import dataclasses
import json
import random

import numpy as np
from absl.testing import absltest, parameterized

from tfcharrnn.curricula.bandits import Exp3S
from tfcharrnn.training.record import Place


def transcription(rewards, sources, number, rate, epsilon):
    """Algorithm and equations of the paper, as they are printed there."""
    w, seen, policies = np.zeros(number), [], []
    for t, (raw, source) in enumerate(zip(rewards, sources, strict=True), 1):
        pi = (1 - epsilon) * np.exp(w) / np.exp(w).sum() + epsilon / number
        policies.append(pi)
        seen.append(raw)
        low, high = np.percentile(seen, 20), np.percentile(seen, 80)
        if raw < low:
            r = -1.0
        elif raw > high:
            r = 1.0
        else:
            r = 2 * (raw - low) / (high - low) - 1 if high > low else 0.0
        r_hat = np.array([r * (i == source) / pi[i] for i in range(number)])
        alpha = 1 / t
        w = np.array(
            [
                np.log(
                    (1 - alpha) * np.exp(w[i] + rate * r_hat[i])
                    + alpha
                    / (number - 1)
                    * sum(
                        np.exp(w[j] + rate * r_hat[j])
                        for j in range(number)
                        if j != i
                    )
                )
                for i in range(number)
            ]
        )
    return policies, w


class Exp3STest(parameterized.TestCase):
    @parameterized.parameters((2, 0.001, 0.05), (5, 0.5, 0.2), (3, 0.3, 0.01))
    def test_is_the_equations_of_the_paper(self, number, rate, epsilon):
        draw = np.random.default_rng(0)
        rewards = draw.normal(size=60)
        rewards[::7] = 9.0  # Outside of the quantiles.
        sources = draw.integers(number, size=60)
        policies, weights = transcription(
            rewards, sources, number, rate, epsilon
        )
        bandit = Exp3S(rate=rate, epsilon=epsilon)
        choices = bandit.begin(number)
        for reward, source, policy in zip(
            rewards, sources, policies, strict=True
        ):
            np.testing.assert_allclose(
                bandit.probabilities(choices), policy, rtol=1e-9
            )
            bandit.update(choices, int(source), [float(reward)])
        np.testing.assert_allclose(choices.values, weights, atol=1e-9)

    def test_rewards_are_scaled_by_quantiles_of_those_before(self):
        bandit = Exp3S()
        choices = bandit.begin(2)
        for reward in range(101):  # 0 to 100: the quantiles are 20 and 80.
            bandit._scaled(choices, float(reward))
        for reward, expected in ((50, 0.0), (20, -1.0), (-9, -1.0), (99, 1.0)):
            scaled = bandit._scaled(choices, float(reward))
            self.assertAlmostEqual(scaled, expected, delta=0.05)

    def test_a_sample_of_the_rewards_is_kept(self):
        bandit = Exp3S(num_kept=200)
        choices = bandit.begin(2)
        for reward in range(4000):
            bandit._scaled(choices, float(reward))
        self.assertLen(choices.history[0], 200)
        self.assertBetween(np.mean(choices.history[0]), 1700, 2300)

    def test_several_batches_bring_their_mean(self):
        one, other = (Exp3S(rate=0.5).begin(2) for _ in range(2))
        for values in ([1.0, 3.0], [5.0, 1.0], [0.0, 0.0]):
            Exp3S(rate=0.5).update(one, 0, values)
            Exp3S(rate=0.5).update(other, 0, [float(np.mean(values))])
        self.assertEqual(one, other)

    def test_equal_rewards_leave_the_choice_uniform(self):
        bandit = Exp3S(rate=0.5)
        choices, draw = bandit.begin(4), random.Random(0)
        counts = np.zeros(4)
        for _ in range(400):
            source = bandit.choose(choices, draw)
            counts[source] += 1
            bandit.update(choices, source, [0.25])
        np.testing.assert_allclose(bandit.probabilities(choices), 0.25)
        self.assertBetween(counts.min(), 70, 130)

    def test_the_best_source_is_found_and_the_others_are_still_tried(self):
        bandit, draw = Exp3S(rate=0.05, epsilon=0.1), random.Random(0)
        choices = bandit.begin(4)
        for _ in range(600):
            source = bandit.choose(choices, draw)
            reward = draw.gauss(1.0 if source == 2 else 0.0, 0.3)
            bandit.update(choices, source, [reward])
        probabilities = bandit.probabilities(choices)
        self.assertGreater(probabilities[2], 0.8)
        self.assertGreaterEqual(probabilities.min(), 0.1 / 4)

    def test_what_it_knows_goes_through_json(self):
        bandit = Exp3S(rate=0.05, num_kept=5)
        first, draw = bandit.begin(3), random.Random(0)
        second = bandit.begin(3)
        for step in range(30):
            reward = draw.random()
            for choices in (first, second):
                bandit.update(choices, step % 3, [reward])
            place = dataclasses.asdict(Place(choices=second))
            second = Place.from_json(json.loads(json.dumps(place))).choices
        self.assertEqual(first, second)

    @parameterized.parameters(
        {'rate': 0.0}, {'epsilon': 1.5}, {'epsilon': -0.1}, {'num_kept': 0}
    )
    def test_refuses_what_is_out_of_range(self, **options):
        with self.assertRaisesRegex(ValueError, f'`{[*options][0]}` is'):
            Exp3S(**options)


if __name__ == '__main__':
    absltest.main()
