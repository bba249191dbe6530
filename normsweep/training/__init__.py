"""Trains a trial in one process: `Engine.train(trial)` yields each epoch and returns the result."""
