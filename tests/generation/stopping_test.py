import hypothesis
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

from tfcharrnn.generation import stopping


def ids_of(text):
    return np.array(['ab'.index(char) for char in text], np.int32)


class StopTest(tf.test.TestCase):
    @hypothesis.given(
        st.text('ab', min_size=1, max_size=40), st.text('ab', max_size=60)
    )
    @hypothesis.example('a' * 15, 'a' * 14)
    @hypothesis.example('a' * 16, 'a' * 17)
    def test_the_table_finds_the_first_occurrence(self, stop, text):
        table = stopping.stop_table(ids_of(stop), vocab_size=2)
        missing, end = len(stop), None
        for number, char in enumerate(text, 1):
            missing = table[missing, 'ab'.index(char)]
            if missing == 0 and end is None:
                end = number
        self.assertEqual(missing == 0, stop in text)
        if stop in text:
            self.assertEqual(end, text.index(stop) + len(stop))

    @hypothesis.given(
        st.text('ab', min_size=1, max_size=8), st.text('ab', max_size=60)
    )
    def test_cuts_before_the_first_occurrence(self, stop, text):
        cut = stopping.Stop(ids_of(stop), vocab_size=2).cut(ids_of(text))
        self.assertAllEqual(cut, ids_of(text.split(stop)[0]))

    @hypothesis.given(
        st.text('ab', min_size=1, max_size=8), st.text('ab', max_size=20)
    )
    def test_what_is_settled_is_part_of_the_text_however_it_goes_on(
        self, stop, text
    ):
        hypothesis.assume(stop not in text)
        rule = stopping.Stop(ids_of(stop), vocab_size=2)
        missing = rule.size
        for id_ in ids_of(text):
            missing = rule.table[missing, id_]
        settled = rule.num_settled(len(text), missing)
        # What waits begins `stop`; nothing longer at the end of the text does.
        self.assertTrue(stop.startswith(text[settled:]))
        for start in range(settled):
            self.assertFalse(stop.startswith(text[start:]))

    def test_without_a_sequence_there_is_no_end(self):
        rule = stopping.Stop(None, vocab_size=2)
        ids = ids_of('abba')
        self.assertAllEqual(rule.cut(ids), ids)
        self.assertAllEqual(rule.table[rule.size], [1, 1])
        self.assertEqual(rule.num_settled(4, rule.size), 4)


if __name__ == '__main__':
    tf.test.main()
