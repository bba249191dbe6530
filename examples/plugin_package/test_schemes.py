from example_parts.schemes import percentile

from normsweep.testing import check_normalization


def test_percentile():
    check_normalization(percentile)
