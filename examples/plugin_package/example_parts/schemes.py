"""Normalizations for images with a few very bright pixels."""

import keras
import numpy as np

from normsweep.parts import normalizations


@normalizations.register("percentile")
def percentile(train):
    """Divided by the 75th percentile of the training split's nonzero pixels."""
    values = train[train != 0]
    scale = np.percentile(values, 75) if values.size else 0
    return [keras.layers.Rescaling(1 / float(scale or 1))]
