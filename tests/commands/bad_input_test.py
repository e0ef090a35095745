"""What no command and no function takes: each is one sentence, no more."""

import gzip
import json
import math
import os
import pathlib
import shutil
import tempfile

import numpy as np
import running_commands
import tensorflow as tf
import toys
from absl.testing import parameterized
from running_commands import is_sentence, run

import tfcharrnn
from tfcharrnn import Corpus, Vocabulary, data, evaluate, files, generate, train
from tfcharrnn.generation.request import Request
from tfcharrnn.training import schedules

TEXT = running_commands.make_text()
TEXTS = {
    'empty': b'',
    'one_character': b'a',
    'short': b'to be',
    'one_distinct': b'a' * 1000,
    'latin': 'é'.encode('latin-1') * 1000,
    'utf16': TEXT.encode('utf-16'),
    'surrogate': b'to be \xed\xa0\x80 ' * 99,
    'only_bom': '\ufeff'.encode(),
    'not_gzip.gz': b'to be or not to be' * 99,
    'half.gz': gzip.compress(TEXT.encode())[:-40],
    'flipped.gz': gzip.compress(TEXT.encode())[:-1] + b'\xff',
}
HUGE = 10**30

# Each: arguments, and what the sentence has to say.
TRAIN = [
    (f'--corpus={name}', 'empty|no text' if 'bom' in name else name)
    for name in TEXTS
    if name not in ('one_character', 'short', 'one_distinct')
]
TRAIN += [
    ('--corpus=one_character', 'too short'),
    ('--corpus=short', 'longer text'),
    ('--corpus=one_distinct', 'one distinct character'),
    ('--corpus=fifo', 'no text.*fifo'),
    ('--corpus=folder', 'folder'),
    ('--corpus=missing', "no file 'missing'"),
    ('--corpus=missing*', 'missing'),
    ('--corpus=', 'no file'),
    ('--corpus=latin --encoding=rot13', 'rot13'),
    ('--corpus=play.txt --encoding=hex', 'hex'),
    ('--batch_size=-1', 'batch_size'),
    (f'--batch_size={HUGE}', 'batch_size'),
    ('--seq_length=nan', 'seq_length'),
    (f'--seq_length={HUGE}', 'seq_length'),
    ('--rnn_units=0', 'rnn_units'),
    (f'--rnn_units={HUGE}', 'rnn_units'),
    ('--rnn_units=1000000', 'memory.*rnn_units'),
    (f'--num_layers={HUGE}', 'num_layers'),
    ('--embedding_dim=-1', 'embedding_dim'),
    (f'--embedding_dim={HUGE}', 'embedding_dim'),
    ('--dropout=1', 'dropout'),
    ('--dropout=nan', 'dropout'),
    ('--beta_2=1', 'beta_2'),
    ('--beta_2=nan', 'beta_2'),
    ('--average=1', 'average'),
    ('--average=nan', 'average'),
    ('--clip_norm=inf', 'clip_norm'),
    ('--weight_decay=-1', 'weight_decay'),
    ('--warmup_steps=-1', 'warmup_steps'),
    ('--save_every=-1', 'save_every'),
    ('--max_to_keep=0', 'max_to_keep'),
    ('--on_nonfinite=hope', 'hope.*rollback'),
    ('--sample_length=-1', 'sample_length'),
    ('--temperatures=-1', 'temperatures'),
    ('--prompt=\x00', 'vocabulary'),
    ('--tied --embedding_dim=3', 'tied'),
    ('--model_dir=play.txt', 'play.txt'),
    ('--model_dir=newer', 'newer.*version'),
    ('--model_dir=bard --rnn_units=8', 'rnn_units'),
]
GENERATE = [
    ('--model_dir=', 'model_dir'),
    ('--model_dir=missing', 'missing'),
    ('--model_dir=folder', 'folder'),
    ('--model_dir=play.txt', 'play.txt'),
    ('--model_dir=newer', 'newer.*version'),
    ('--checkpoint=missing', "no checkpoint 'missing'"),
    ('--prompt=@#', "'@'"),
    ('--prompt_file=missing', 'missing'),
    ('--prompt_file=folder', 'folder'),
    ('--prompt_file=latin', 'latin'),
    ('--prompt=a --prompt_file=play.txt', 'not both'),
    ('--temperature=-1', 'temperature'),
    ('--temperature=nan', 'temperature'),
    ('--temperature=inf', 'temperature'),
    ('--temperature=', 'temperature'),
    ('--temperature=hot', 'temperature'),
    ('--top_k=0', 'top_k'),
    ('--top_p=0', 'top_p'),
    ('--top_p=1.5', 'top_p'),
    ('--top_p=nan', 'top_p'),
    ('--length=-1', 'length'),
    (f'--length={HUGE}', 'length'),
    ('--num_samples=0', 'num_samples'),
    (f'--num_samples={HUGE}', 'num_samples'),
    ('--stop=', 'stop'),
    ('--stop=@', "'@'"),
    (f'--seed={HUGE}', 'seed'),
]
EVALUATE = [
    ('--model_dir=missing', 'missing'),
    ('--model_dir=newer', 'newer.*version'),
    ('--corpus=missing', 'missing'),
    ('--corpus=empty', 'empty'),
    ('--corpus=one_character', '1 char'),
    ('--corpus=latin', 'latin'),
    ('--corpus=play.txt --split=valid', 'not both'),
    ('--split=test', '0 characters'),
    ('--split=all', 'all'),
    ('--batch_size=0', 'batch_size'),
    ('--checkpoint=missing', "no checkpoint 'missing'"),
]
COMMANDS = {'train': train, 'generate': generate, 'evaluate': evaluate}
CASES = [
    (name, arguments, message)
    for name, cases in (
        ('train', TRAIN),
        ('generate', GENERATE),
        ('evaluate', EVALUATE),
    )
    for arguments, message in cases
]

# Calls, and what is raised: the argument is to be named.
API = {
    'no characters': (lambda: Vocabulary(''), 'at least one'),
    'a character twice': (lambda: Vocabulary('aa'), 'distinct'),
    'a word': (lambda: Vocabulary(['ab']), 'single characters'),
    'a text of bytes': (lambda: Vocabulary.from_text(b'a'), 'bytes'),
    'unseen characters': (lambda: Vocabulary('ab').encode('abc'), "'c' at 2"),
    'an id beyond': (lambda: Vocabulary('ab').decode([2]), 'Id 2'),
    'an id below': (lambda: Vocabulary('ab').decode([-1]), 'Id -1'),
    'ids in rows': (lambda: Vocabulary('ab').decode([[0]]), 'shape'),
    'ids with points': (lambda: Vocabulary('ab').decode([0.5]), 'integers'),
    'an empty text': (lambda: Corpus.from_text(''), 'empty'),
    'two fractions': (
        lambda: Corpus.from_text(TEXT, (0.5, 0.5)),
        'split',
    ),
    'fractions of nan': (
        lambda: Corpus.from_text(TEXT, (math.nan, 0.5, 0.5)),
        'split',
    ),
    'too few ids': (lambda: data.sequences(np.zeros(5, int), 9, 1), 'short'),
    'rows of 0': (lambda: data.sequences(np.zeros(9, int), 2, 0), 'batch_size'),
    'length 0': (lambda: data.sequences(np.zeros(9, int), 0, 2), 'seq_length'),
    'ids of floats': (
        lambda: data.sequences(np.zeros(9), 2, 2),
        'integer type',
    ),
    'stride 0': (
        lambda: data.windows(np.zeros(9, int), 2, 2, stride=0),
        'stride',
    ),
    'no lines': (lambda: data.lines([], Vocabulary('\na'), 2), 'line'),
    'a cell unheard of': (lambda: tfcharrnn.CharRNN(5, cell='elman'), 'elman'),
    'units 0': (lambda: tfcharrnn.CharRNN(5, rnn_units=0), 'rnn_units'),
    'units of nan': (
        lambda: tfcharrnn.CharRNN(5, rnn_units=math.nan),
        'rnn_units',
    ),
    'dropout 1': (lambda: tfcharrnn.CharRNN(5, dropout=1.0), 'dropout'),
    'clip_norm -1': (
        lambda: tfcharrnn.Trainer(
            toys.FrequencyModel(), tf.keras.optimizers.SGD(), clip_norm=-1.0
        ),
        'clip_norm',
    ),
    'a schedule': (lambda: schedules.parse('fast'), 'fast'),
    'temperature -1': (lambda: Request('a', 9, temperature=-1), 'temperat'),
    'temperature nan': (
        lambda: Request('a', 9, temperature=math.nan),
        'temperat',
    ),
    'top_k 0': (lambda: Request('a', 9, top_k=0), 'top_k'),
    'top_p 0': (lambda: Request('a', 9, top_p=0.0), 'top_p'),
    'stop nothing': (lambda: Request('a', 9, stop=''), 'stop'),
    'seed 2**80': (lambda: Request('a', 9, seed=1 << 80), 'seed'),
    'no model': (lambda: tfcharrnn.load_model('/there/is/none'), 'no train'),
}


class BadInputTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tf.get_logger().setLevel('ERROR')
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.addClassCleanup(os.chdir, os.getcwd())
        shutil.copytree(
            running_commands.finished()[0], folder.name, dirs_exist_ok=True
        )
        os.chdir(folder.name)
        for name, content in TEXTS.items():
            pathlib.Path(name).write_bytes(content)
        os.mkfifo('fifo')
        os.mkdir('folder')
        shutil.copytree('bard', 'newer')
        path = pathlib.Path('newer/model.json')
        document = json.loads(path.read_text())
        del document['sha256']
        files.write_json(path, {**document, 'version': 9})
        cls.before = running_commands.contents('.')

    @parameterized.parameters(*CASES)
    def test_a_command_says_what_is_wrong_and_changes_nothing(
        self, name, arguments, message
    ):
        arguments = arguments.split(' ')
        flags = ' '.join(arguments)
        if '--model_dir' not in flags:
            arguments.insert(0, f'--model_dir={self.model_dir(name)}')
        if name == 'train' and 'newer' not in flags and 'bard' not in flags:
            arguments = [*running_commands.QUICK, '--steps=2', *arguments]
            if '--corpus' not in flags:
                arguments.insert(0, f'--corpus={running_commands.CORPUS}')
        status, out, err = run(COMMANDS[name], *arguments)
        self.assertIn(status, (1, 2), err)
        self.assertTrue(is_sentence(err), err)
        self.assertRegex(err, message)
        self.assertNotIn('Traceback', out + err)
        self.assertEqual(running_commands.contents('.'), self.before)

    def model_dir(self, name):
        return 'new' if name == 'train' else 'bard'

    @parameterized.named_parameters((k, *v) for k, v in API.items())
    def test_a_function_names_what_is_wrong(self, call, message):
        with self.assertRaises((ValueError, TypeError, OSError)) as caught:
            call()
        self.assertRegex(str(caught.exception), message)


class OddInputTest(parameterized.TestCase):
    @parameterized.parameters(
        'to be\r\nor not\r\n' * 50,
        'to be \0 or not ' * 50,
        ''.join(map(chr, range(0x4E00, 0x4E00 + 2000))) * 2,
        'e\u0301 \U0001f600\u200d ' * 50,
    )
    def test_is_a_text_like_any_other(self, text):
        made = Corpus.from_text(text)
        self.assertEqual(
            made.vocabulary.decode(made.train), text[: len(made.train)]
        )

    def test_100_000_distinct_characters_are_a_vocabulary(self):
        chars = ''.join(map(chr, range(0x10000, 0x10000 + 100_000)))
        vocabulary = Vocabulary.from_text(chars[::-1])
        self.assertEqual(''.join(vocabulary.tokens), chars)
        self.assertEqual(vocabulary.decode(vocabulary.encode(chars)), chars)

    @parameterized.parameters(
        {'temperature': 0.0},
        {'temperature': 1e-9},
        {'temperature': 1e9},
        {'top_k': 10**6},
        {'top_p': 1e-9},
    )
    def test_any_option_in_its_range_writes(self, **options):
        rnn = tfcharrnn.CharRNN(5, embedding_dim=2, rnn_units=3)
        writer = tfcharrnn.Generator(rnn, Vocabulary('\nabcd'))
        text = writer.generate('a', 6, seed=1, **options)
        self.assertLen(text, 7)
        self.assertEqual(writer.generate('a', 0, **options), 'a')


if __name__ == '__main__':
    tf.test.main()
