"""Tasks: examples of a text to read and an answer to write, by level."""

from tfcharrnn.tasks.accuracy import Accuracies, measure
from tfcharrnn.tasks.digits import addition, copy, repeat_copy, reverse
from tfcharrnn.tasks.examples import examples
from tfcharrnn.tasks.ngrams import ngram_mixture
from tfcharrnn.tasks.programs import program
from tfcharrnn.tasks.task import Example, Task

__all__ = [
    'Accuracies',
    'Example',
    'Task',
    'addition',
    'copy',
    'examples',
    'measure',
    'ngram_mixture',
    'program',
    'repeat_copy',
    'reverse',
]
