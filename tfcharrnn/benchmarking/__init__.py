"""Speed on this machine, beside Keras and PyTorch."""
