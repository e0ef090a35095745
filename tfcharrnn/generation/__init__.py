"""Generation: logits to text."""
