"""The verdict of studies under rules 1 and 2, as those versions gave it.

The gap is a mean of three epochs, the interval has Satterthwaite's degrees of freedom, the level is
halved at each interim analysis, stuck seeds count as trained, and there are three outcomes.
"""

from __future__ import annotations

import math

from scipy.special import stdtrit

from normsweep.analysis.estimates import (
    Estimate,
    Moments,
    moments,
    more_seeds,
    satterthwaite,
    seeds_only,
)
from normsweep.analysis.outcomes import EARLIER, Outcome, outcome
from normsweep.analysis.parity import Gap, Pairs, Parity, Values, at, parity
from normsweep.analysis.rules import (
    LEAST_SEEDS,
    Comparison,
    Lack,
    Missing,
    Rules,
    Trained,
)
from normsweep.analysis.verdicts import (
    Reading,
    Verdict,
    at_chance,
    check_epochs,
    further,
    upward,
    verdict_of,
)

__all__ = ["LAST", "judge", "window_of"]

LAST = 2
"""The last version of the rules by which verdicts were given like this."""
WINDOW = 3


def window_of(horizon: int) -> int:
    """Epochs of the trailing mean up to a horizon."""
    return min(WINDOW, horizon)


def judge(
    comparison: Comparison,
    rules: Rules,
    arm: Values,
    reference: Values,
    trained: tuple[Trained, Trained],
    analysis: int,
) -> Verdict:
    """Compare an arm with its reference, as `verdicts.judge`; `analysis` counts from 1."""
    pairs = Pairs(upward(arm, rules), upward(reference, rules), comparison.fixed_at)
    check_epochs(comparison, pairs)
    horizon, tail = comparison.horizon, _tail(rules, analysis)

    def read(epoch: int, smoothed: bool) -> Gap:
        plain = _interval(pairs.gap(epoch, WINDOW if smoothed else 1), tail)
        return Gap.of(plain, rules.margin)

    m, gap = pairs.gap(horizon, WINDOW), read(horizon, True).plain
    lack = _barrier(comparison, rules, pairs, trained, tail)
    found, epochs = Outcome.NOT_ENOUGH, Parity()
    if not lack.reason:
        found = outcome(gap.low, gap.high, rules.margin, EARLIER)
        epochs = parity(read, range(1, horizon + 1))
        if found is Outcome.NOT_ENOUGH:
            lack = further(more_seeds(m, rules.margin, _tail(rules, analysis + 1)))
    reading = Reading(
        outcome=found,
        parity=epochs,
        gap=gap,
        plain=gap,
        on_these_images=seeds_only(m, tail),
        last_epoch=read(horizon, False).plain,
        window=pairs.window(horizon, WINDOW),
        tail=tail,
        analysis=analysis,
        lack=lack,
        margin_needed=2.8 * math.sqrt(m.v_images),
        rules=LAST,
    )
    return verdict_of(comparison, rules, pairs, trained, reading)


def _tail(rules: Rules, analysis: int) -> float:
    """The one-sided level of an analysis; all analyses together stay below alpha."""
    return rules.alpha / 2**analysis / rules.arms


def _barrier(
    comparison: Comparison,
    rules: Rules,
    pairs: Pairs,
    trained: tuple[Trained, Trained],
    tail: float,
) -> Lack:
    if pairs.seeds < LEAST_SEEDS:
        names = (comparison.arm, comparison.reference)
        counts = [f"{n} {t.diverged}" for n, t in zip(names, trained, strict=True) if t.diverged]
        lost = f" (diverged seeds: {', '.join(counts)})" if counts else ""
        reason = f"at least {LEAST_SEEDS} seeds are needed, {pairs.seeds} can be compared{lost}"
        return Lack(Missing.TOO_FEW_SEEDS, reason)
    of_reference = at(pairs.reference, pairs.reference_epoch(comparison.horizon))
    return at_chance(comparison, rules, _interval(moments(of_reference), tail))


def _interval(m: Moments, tail: float) -> Estimate:
    """The mean ± t·√(v_seeds + v_images), with Satterthwaite's degrees of freedom."""
    if math.isnan(m.variance):
        return Estimate(m.mean, math.nan, math.nan, m.n)
    dof = satterthwaite((m.v_seeds, m.n - 1), (m.v_images, m.images - 1))
    reach = float(stdtrit(dof, 1 - tail)) * math.sqrt(m.variance)
    return Estimate(m.mean, m.mean - reach, m.mean + reach, m.n)
