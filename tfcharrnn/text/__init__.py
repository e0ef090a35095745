"""Text: characters, words and their ids."""
