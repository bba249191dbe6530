"""One trial in one process: `Engine.train(trial)` gives each epoch, then a result."""
