"""The model: ids to logits."""
