import zlib

from tfcharrnn import curricula, data


def repetitive_first(corpus, batch_size, seed, end=300):
    def size(line):  # After compression, per character.
        return len(zlib.compress(line.encode())) / len(line)

    rows = corpus.lines('train'), corpus.vocabulary, batch_size
    easy = curricula.easiest_first(
        *rows, share=curricula.competence(0.1, end), difficulty=size, seed=seed
    )
    yield curricula.Stage(easy, end)
    yield curricula.Stage(data.lines(*rows, seed=seed))
