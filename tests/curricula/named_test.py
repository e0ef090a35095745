import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from running_commands import in_folder

import tfcharrnn
from tfcharrnn import RunConfig, curricula
from tfcharrnn.curricula import named
from tfcharrnn.fields import SettingError
from tfcharrnn.kinds import CURRICULA

LINES = [*('xyz' * 3 for _ in range(9)), *('ab' * n for n in range(1, 30))]


class NamedTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        pathlib.Path('a.txt').write_text('\n'.join(LINES) + '\n')
        pathlib.Path('b.txt').write_text('0123456789 é' * 99)

    def make(self, curriculum, **settings):
        self.config = RunConfig(
            **{'corpus': 'a.txt', 'batch_size': 4, 'seq_length': 5, **settings},
            curriculum=curriculum,
        )
        self.corpus = tfcharrnn.Corpus.from_config(
            self.config, characters=curricula.characters(self.config)
        )
        return curricula.make(self.config, self.corpus)

    def texts(self, dataset, number=20, position=0):
        return [
            self.corpus.vocabulary.decode(row[mask])
            for batch in dataset.starting_at(position).take(number)
            for row, mask in zip(
                batch.targets.numpy(), batch.mask.numpy(), strict=True
            )
        ]

    def test_every_kind_is_there(self):
        self.assertCountEqual(named.KINDS, CURRICULA)

    @parameterized.parameters(
        ('easiest:length,competence=0.1@50', 'ab'),
        ('hardest:length,competence=0.1@50', 'ab' * 29),
        ('easiest:rarity,competence=0.03@50', 'ab'),
    )
    def test_lines_come_in_the_order_of_their_difficulty(self, text, first):
        drawn, plain = self.make(text, lines=True, valid_fraction=0.0)
        self.assertEqual((drawn.steps, plain.steps), (50, None))
        starts = {x.rstrip('\n') for x in self.texts(drawn.dataset, 2)}
        self.assertIn(first, starts)
        self.assertLess(len(starts), 6)
        # Then each line once in a pass.
        per_pass = len(plain.dataset)
        texts = self.texts(plain.dataset, per_pass)
        self.assertCountEqual(
            [x.rstrip('\n') for x in texts if x], self.corpus.lines('train')
        )

    def test_lines_come_in_the_order_of_their_loss(self):
        drawn, plain = self.make(
            'hardest:loss,competence=0.1@50,every=7', lines=True
        )
        self.assertIsInstance(drawn.dataset, curricula.SelfPaced)
        self.assertEqual((drawn.steps, plain.steps), (50, None))
        self.assertEqual(drawn.dataset.enter_every, 7)

    def test_below_a_threshold_there_is_one_stage(self):
        text = 'easiest:loss,threshold=exponential:1:4:50'
        (drawn,) = self.make(text, lines=True)
        self.assertIsInstance(drawn.dataset, curricula.SelfPaced)
        self.assertEqual(drawn.dataset.enter_every, len(drawn.dataset))
        (control,) = self.make(text, lines=True, control=True)
        (plain,) = self.make(None, lines=True)
        self.assertEqual(self.texts(control.dataset), self.texts(plain.dataset))

    def test_a_random_order_is_of_the_seed(self):
        text = 'random:competence=0.1@5000'
        first, again, other = (
            set(
                self.texts(self.make(text, lines=True, seed=seed)[0].dataset, 3)
            )
            for seed in (0, 0, 1)
        )
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_a_vocabulary_grows_up_to_all(self):
        drawn, plain = self.make('vocabulary:2@9,all', lines=True)
        self.assertEqual((drawn.steps, plain.steps), (9, None))
        self.assertEqual(set(''.join(self.texts(drawn.dataset, 9))), {*'ab\n'})

    def test_the_control_of_a_vocabulary_has_its_last_size(self):
        grown, control = (
            self.make('vocabulary:2@9,5', lines=True, control=control)
            for control in (False, True)
        )
        # From step 9 on, nothing differs; before, the control has all five.
        for dataset in (grown[-1].dataset, control[-1].dataset):
            texts = self.texts(dataset, 20, position=9)
            self.assertEqual(set(''.join(texts)) - {'\n'}, {*'abxyz'})
        texts = self.texts(control[-1].dataset, 9)
        self.assertNotEqual(set(''.join(texts)), {*'ab\n'})

    def test_files_are_mixed_by_weights_that_move(self):
        (mixed,) = self.make('mix:a.txt=linear:1:0:40,b.txt=linear:0:1:40')
        first = self.texts(mixed.dataset, 8)
        last = self.texts(mixed.dataset, 8, position=50)
        self.assertNoCommonElements(''.join(first), '0123456789')
        self.assertNoCommonElements(''.join(last), 'abxyz')
        self.assertIn('é', ''.join(last))

    def test_a_bandit_chooses_among_files(self):
        text = 'bandit:gradient,a.txt,b.txt,every=2,rate=0.5,epsilon=0.1'
        (chosen,) = self.make(text)
        self.assertIsInstance(chosen.dataset, curricula.AdaptiveMixture)
        self.assertEqual([*curricula.digests(self.config)], ['a.txt', 'b.txt'])
        (control,) = self.make('bandit:gradient,a.txt,b.txt', control=True)
        self.assertIsInstance(control.dataset, curricula.Mixture)

    def test_a_teacher_chooses_among_files(self):
        (chosen,) = self.make('teacher:window,a.txt,b.txt,window=3')
        self.assertIsInstance(chosen.dataset, curricula.AdaptiveMixture)

    def test_the_vocabulary_has_the_characters_of_all_files(self):
        self.make('mix:a.txt=1,b.txt=1')
        self.assertContainsSubset({*'abxé0 '}, {*self.corpus.vocabulary.tokens})

    def test_only_the_training_part_of_a_file_is_read(self):
        pathlib.Path('b.txt').write_text('0123' * 90 + '9' * 39 + '0')
        (mixed,) = self.make('mix:a.txt=1,b.txt=1')
        self.assertNotIn('9', self.corpus.vocabulary.tokens)
        self.assertNotIn('9', ''.join(self.texts(mixed.dataset, 99)))

    @parameterized.parameters(
        ('easiest:length,competence=0.1@50', True),
        ('vocabulary:2@9,all', True),
        ('length:2@9,5', False),
    )
    def test_a_control_is_the_last_stage_alone(self, text, lines):
        last = self.make(text, lines=lines)[-1]
        (control,) = self.make(text, lines=lines, control=True)
        self.assertEqual(self.texts(control.dataset), self.texts(last.dataset))
        self.assertIsNone(control.steps)

    @parameterized.parameters(
        ('easiest:length,competence=0.1@5', True), ('length:2@9,5', False)
    )
    def test_a_control_sees_as_many_characters(self, text, lines):
        for control in (False, True):
            stages = self.make(text, lines=lines, control=control)
            steps = curricula.count_steps(stages, 5000)
            seen = curricula.count_chars(stages, steps)
            most = self.corpus.train.size / len(stages[-1].dataset)
            self.assertBetween(seen, 5000, 5000 + 2 * most)

    def test_the_control_of_a_mixture_has_its_last_weights(self):
        (mixed,) = self.make(
            'mix:a.txt=linear:1:0:40,b.txt=linear:0:1:40', control=True
        )
        self.assertNoCommonElements(''.join(self.texts(mixed.dataset)), 'abx')

    def test_a_file_has_a_digest(self):
        self.make('mix:a.txt=1,b.txt=1')
        before = curricula.digests(self.config)
        pathlib.Path('b.txt').write_text('0123456789 e' * 99)
        after = curricula.digests(self.config)
        self.assertEqual(before['a.txt'], after['a.txt'])
        self.assertNotEqual(before['b.txt'], after['b.txt'])

    def test_a_curriculum_of_the_corpus_alone_names_no_files(self):
        self.make('length:2@9,5')
        self.assertEqual(curricula.digests(self.config), {})
        self.assertEqual(curricula.characters(self.config), set())

    @parameterized.parameters(
        ('easiest:length,competence=0.1@50', {}, 'give `lines`'),
        ('easiest:length', {'lines': True}, 'does not say how fast'),
        ('easiest:length,pace=1', {'lines': True}, "'pace'.* competence="),
        ('easiest:competence=0.1@5', {'lines': True}, "difficulty 'nothing'"),
        ('easiest:taste,competence=0.1@5', {'lines': True}, "'taste'"),
        ('easiest:length,competence=2@5', {'lines': True}, '`start` is 2'),
        (
            'easiest:length,competence=0.1@5,degree=0',
            {'lines': True},
            'degree=0',
        ),
        ('random:length,competence=0.1@5', {'lines': True}, "'length', which"),
        ('random:loss,competence=0.1@5', {'lines': True}, "'loss', which"),
        ('easiest:loss,competence=0.1@5', {}, 'give `lines`'),
        ('easiest:loss', {'lines': True}, 'does not say how fast'),
        (
            'easiest:loss,competence=0.1@5,every=0',
            {'lines': True},
            'every=0.* from 1 up',
        ),
        (
            'easiest:rarity,competence=0.1@5,every=9',
            {'lines': True},
            "'every', which",
        ),
        (
            'easiest:loss,competence=0.1@5,threshold=1',
            {'lines': True},
            'either by a `threshold` or',
        ),
        ('easiest:loss,threshold=low', {'lines': True}, 'threshold=low, which'),
        ('easiest:loss,threshold=-1', {'lines': True}, 'from 0 up'),
        (
            'easiest:loss,competence=0.1@5',
            {'lines': True, 'strategy': 'mirrored'},
            'on one device only',
        ),
        ('vocabulary:5@3', {'lines': True}, 'grows by'),
        ('vocabulary:5@3,4@2,all', {'lines': True}, 'grows by'),
        ('vocabulary:0@3,all', {'lines': True}, 'grows by'),
        ('vocabulary:5@3,4', {'lines': True}, 'grows by'),
        ('vocabulary:5@3,all', {}, 'give `lines`'),
        ('mix:a.txt=1', {}, 'two files or more'),
        ('mix:a.txt,b.txt', {}, 'two files or more'),
        ('mix:a.txt=1,b.txt=0', {}, r'b\.txt=0: with a weight of 0'),
        ('mix:a.txt=1,b.txt=-1', {}, r'b\.txt=-1.* from 0 up'),
        ('mix:a.txt=1,b.txt=much', {}, r'b\.txt=much.*number'),
        (
            'mix:a.txt=linear:1:0:9,b.txt=linear:1:0:5',
            {},
            r'all 0 at step \d',
        ),
        ('mix:*.txt=1,b.txt=1', {}, r"'a.txt' in '\*.txt', but it is a part"),
        ('bandit:luck,a.txt,b.txt', {}, r'has a gain \(prediction, self'),
        ('teacher:strict,a.txt,b.txt', {}, r'a variant \(online, naive'),
        ('teacher:naive,a.txt,b.txt,every=1', {}, 'two scores'),
        ('bandit:self,a.txt', {}, 'two files or more'),
        ('bandit:self,a.txt,b.txt,every=0', {}, 'every=0'),
        ('bandit:self,a.txt,b.txt,epsilon=2', {}, 'epsilon=2'),
        (
            'bandit:self,a.txt,b.txt',
            {'strategy': 'mirrored'},
            'on one device only',
        ),
        ('lessons.py:a,b', {}, 'must name one function'),
    )
    def test_what_does_not_fit_is_one_sentence(self, text, settings, message):
        with self.assertRaisesRegex(SettingError, message) as caught:
            self.make(text, **settings)
        self.assertNotIn('\n', str(caught.exception))

    @parameterized.parameters(
        ('mix:a.txt=1,c*.txt=1', OSError, r"no file 'c\*.txt'"),
        ('mix:a.txt=1,short.txt=1', ValueError, "In 'short.txt': .*too short"),
        ('lessons.py:f', OSError, "no file 'lessons.py'"),
    )
    def test_a_file_that_cannot_be_read_is_named(self, text, kind, message):
        pathlib.Path('short.txt').write_text('ab' * 9)
        with self.assertRaisesRegex(kind, message):
            self.make(text)

    def test_a_control_without_a_curriculum_is_refused(self):
        with self.assertRaisesRegex(SettingError, '`control` is True, but th'):
            RunConfig(control=True)

    def test_weights_are_those_of_the_schedule(self):
        (mixed,) = self.make('mix:a.txt=3,b.txt=1')
        texts = self.texts(mixed.dataset, 400)[::4]
        share = np.mean([not {*text} & {*'0123456789'} for text in texts])
        self.assertBetween(share, 0.68, 0.82)


if __name__ == '__main__':
    tf.test.main()
