"""Running: a training run that can be stopped anywhere and goes on."""
