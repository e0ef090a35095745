import json
import pathlib
import tempfile

import hypothesis
from absl.testing import parameterized
from hypothesis import strategies as st

from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.text.words import WordVocabulary

# Any code points, lone surrogates as well.
any_text = st.text(st.characters(exclude_categories=()))


class WordVocabularyTest(parameterized.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(any_text.filter(bool))
    def test_decode_inverts_encode_for_any_text(self, text):
        vocabulary = WordVocabulary.from_text(text + ' a')
        self.assertEqual(vocabulary.decode(vocabulary.encode(text)), text)

    @hypothesis.settings(deadline=None)
    @hypothesis.given(st.text('ab \n,'), st.text('abc \n,'))
    def test_what_is_decoded_is_encoded_as_it_was(self, known, text):
        vocabulary = WordVocabulary.from_text(known + 'a')
        ids = vocabulary.encode(text)
        again = vocabulary.encode(vocabulary.decode(ids))
        self.assertEqual(again.tolist(), ids.tolist())

    def test_pieces_of_ids_decode_to_pieces_of_text(self):
        text = "The cat, as I said, didn't sit.\n\nIt \u2014 slept;  deeply."
        vocabulary = WordVocabulary.from_text(text)
        ids = vocabulary.encode(text)
        pieces = [vocabulary.decode([id_]) for id_ in ids]
        self.assertEqual(''.join(pieces), text)
        self.assertIn(" didn't", pieces)
        self.assertIn(',', pieces)

    def test_keeps_the_most_frequent(self):
        vocabulary = WordVocabulary.from_text('c b a b c b', num_words=2)
        self.assertEqual(vocabulary.tokens, (' <unk>', ' b', 'c'))

    def test_keeps_the_newline(self):
        vocabulary = WordVocabulary.from_text('b b a a\nb', num_words=2)
        self.assertEqual(vocabulary.tokens, (' <unk>', 'b', '\n'))

    def test_a_word_that_is_not_known_is_unknown(self):
        vocabulary = WordVocabulary([' cat', 'The'])
        ids = vocabulary.encode('The dog')
        self.assertEqual(ids.tolist(), [2, 0])
        self.assertEqual(vocabulary.unknown, ' <unk>')
        self.assertEqual(vocabulary.decode(ids), 'The <unk>')
        self.assertEqual(
            vocabulary.count_unseen('The dog, a dog'),
            {' a': 1, ' dog': 2, ',': 1},
        )

    def test_a_file_holds_which_kind_it_is(self):
        path = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
        for number, vocabulary in enumerate(
            [WordVocabulary.from_text('to be or not'), Vocabulary('abc')]
        ):
            vocabulary.save(path / f'{number}.json')
            loaded = Vocabulary.load(path / f'{number}.json')
            self.assertIs(type(loaded), type(vocabulary))
            self.assertEqual(loaded, vocabulary)
            self.assertEqual(hash(loaded), hash(vocabulary))

    @parameterized.parameters(
        (None, [2, 0, 1, 0]),
        (' <unk>', [2, 0, 1, 0]),
        ('The', [2, 2, 1, 2]),
        ('skip', [2, 1]),
    )
    def test_unseen_words_become_what_is_asked(self, unseen, expected):
        vocabulary = WordVocabulary([' cat', 'The'])
        ids = vocabulary.encode('The dog cat dog', unseen)
        self.assertEqual(ids.tolist(), expected)
        self.assertEqual(ids.dtype, vocabulary.dtype)

    def test_unseen_words_may_be_an_error(self):
        vocabulary = WordVocabulary([' cat', 'The'])
        text = 'The dog cat, dog'
        with self.assertRaisesRegex(
            ValueError, "3 tokens .2 distinct.*' dog' at 3, ',' at 11. Leave"
        ):
            vocabulary.encode(text, unseen='error')
        known = vocabulary.encode('The cat cat', unseen='error')
        self.assertEqual(known.tolist(), [2, 1, 1])

    @parameterized.parameters('dog', '', 3)
    def test_other_policies_are_refused(self, unseen):
        with self.assertRaisesRegex(ValueError, '`unseen` is .* one token of'):
            WordVocabulary(['cat']).encode('cat', unseen=unseen)

    def test_a_vocabulary_of_lines(self):
        folder = self.enter_context(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder, 'words.json')
        vocabulary = WordVocabulary.from_text('to be\nor', lines=True)
        vocabulary.save(path)
        loaded = Vocabulary.load(path)
        self.assertIsInstance(loaded, WordVocabulary)
        self.assertTrue(loaded.lines)
        self.assertFalse(loaded.with_lines(False).lines)
        with self.assertRaisesRegex(ValueError, 'lacks the newline'):
            WordVocabulary.from_text('to be', lines=True)

    @parameterized.parameters(
        ([], 'at least one word'),
        (['a b'], "'a b' is not one"),
        ([1], '1 is not one'),
        (['a', 'a'], "'a' occurs 2 times"),
        ([' <unk>'], 'occurs'),
    )
    def test_what_is_no_vocabulary_is_an_error(self, words, message):
        with self.assertRaisesRegex(ValueError, message):
            WordVocabulary(words)

    @parameterized.parameters(
        ({'tokens': ['a', 'b']}, 'do not begin with'),
        ({'tokens': []}, 'do not begin with'),
        ({'tokens': 'abc'}, 'not a list'),
        ({'tokens': [' <unk>', 3]}, '3 is not one'),
    )
    def test_a_file_that_holds_none_is_an_error(self, content, message):
        folder = self.enter_context(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder, 'words.json')
        document = {'format': 'tfcharrnn.vocabulary', 'version': 1, **content}
        path.write_text(json.dumps(document))
        with self.assertRaisesRegex(ValueError, f'words.json.*{message}'):
            Vocabulary.load(path)

    def test_no_number_of_words_is_an_error(self):
        with self.assertRaisesRegex(ValueError, '`num_words` is 0'):
            WordVocabulary.from_text('a b', 0)
