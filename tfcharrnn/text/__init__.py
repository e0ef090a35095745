"""Texts as ids: vocabularies, corpora, and where texts come from."""

from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.text.words import WordVocabulary

__all__ = ['Corpus', 'Vocabulary', 'WordVocabulary']
