"""Before TensorFlow starts: the threads of the commands, and few messages."""

import os

from tfcharrnn import startup

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# A run that goes on in another process has as many threads there.
startup.set_threads()
