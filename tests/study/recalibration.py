"""Recalibrations of simulated teams whose true rates are known: does the cap hold, is a gain a gain, is drift seen?"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from toolkit.criteria import criterion_of
from toolkit.criteria.running import ascending, rolling_minima
from toolkit.criteria.terms import Terms
from toolkit.recalibration.candidates import Grid
from toolkit.recalibration.cases import Cases, Label, Rises
from toolkit.recalibration.recommend import recommend
from toolkit.recalibration.verdict import Verdict
from toolkit.recalibration.worth import worth_of

Floats = npt.NDArray[np.float64]

MINUTES = 120
FUTURE = 20_000
NUMBERS = (1, 2, 3, 5, 10)
# Three evaluations in a row over 8 points: what such teams start with, and far from the best.
INCUMBENT = criterion_of({"name": "errors", "kind": "canary", "mode": "difference", "limit": 0.08, "for": "4m", "series": "errors"})
TERMS = Terms(failed_requests_per_engineer_minute=40.0)


@dataclass(frozen=True)
class Team:
    """services; bad_share: of deployments; noise: spread of the difference of a good deployment, as a factor; steps: size of what goes
    wrong, as a factor (0: nothing to gain anywhere)."""

    services: int = 8
    bad_share: float = 0.12
    noise: float = 1.0
    steps: float = 1.0


def simulated(team: Team, n: int, seed: int, *, later: float | None = None) -> Cases:
    """n deployments, one an hour. later: the noise of the last 30 %, where it differs."""
    rng = np.random.default_rng(seed)
    service = rng.integers(0, team.services, n)
    of_service = np.random.default_rng(11)
    usual = 0.006 * np.exp(0.3 * of_service.standard_normal(team.services))
    requests = 600.0 * np.exp(0.5 * of_service.standard_normal(team.services))
    noise = np.full(n, team.noise)
    if later is not None:
        noise[n - round(0.3 * n) :] = later
    spread = usual[service] * noise * np.exp(0.35 * rng.standard_normal(n))
    score = rng.standard_normal((MINUTES + 1, n)) * spread
    # One in ten warms up badly for a few minutes, and is none the worse for it.
    warm = rng.random(n) < 0.10
    length, height = rng.integers(1, 7, n), noise * 0.03 * np.exp(0.6 * rng.standard_normal(n))
    begins = rng.integers(0, 20, n)
    minute = np.arange(MINUTES + 1)[:, None]
    score += np.where(warm & (minute >= begins) & (minute < begins + length), height, 0.0)
    bad = rng.random(n) < team.bad_share
    onset = np.where(bad, rng.integers(1, 50, n).astype(float), np.nan)
    size = team.steps * 0.05 * np.exp(0.8 * rng.standard_normal(n))
    score += np.where(bad & (minute >= onset), size, 0.0)
    human = np.where(bad, onset + np.exp(np.log(28) + 0.7 * rng.standard_normal(n)), np.nan)
    rate = np.where(bad, size * requests[service], 0.0)
    harm = np.where(minute >= onset, (minute - onset) * rate, 0.0).T if bad.any() else np.zeros((n, MINUTES + 1))
    harm = np.nan_to_num(harm)
    # People end a bad deployment, and with it what is known of it.
    ended = np.where(bad, np.minimum(human, MINUTES), MINUTES)
    score = np.where(minute <= ended, score, -np.inf)
    rises = {k: _rises(state) for k, state in rolling_minima(score, NUMBERS).items()}
    return Cases(
        deployment=[f"d{place}" for place in range(n)],
        services=[f"s{place}" for place in range(team.services)],
        day=np.arange(n) / 24,
        service=service.astype(np.int64),
        cluster=np.arange(n),
        label=np.where(bad, Label.BAD, Label.GOOD).astype(np.int64),
        seen=np.ones(n, bool),
        complete=~bad | (human >= MINUTES),
        stopped=np.zeros(n, bool),
        onset=onset,
        human=human,
        harm=harm,
        step=1.0,
        rises=rises,
    )


def _rises(state: Floats) -> Rises:
    profile = ascending(state.copy())
    risen = profile > -np.inf
    risen[1:] &= profile[1:] > profile[:-1]
    row, t = np.nonzero(risen.T)
    return Rises(row.astype(np.int64), t.astype(float), profile.T[row, t])


@dataclass(frozen=True)
class Truth:
    """Of a candidate in a team's future: share of good deployments stopped, and engineer minutes saved per 100 deployments."""

    false_stops: float
    benefit: float


def truth_of(future: Cases, n: int, bound: float, terms: Terms = TERMS) -> Truth:
    """What a limit does in the future."""
    worth = worth_of(future, Grid(np.array([n]), np.array([bound]), np.zeros(1), 0), terms)
    good = future.label == Label.GOOD
    return Truth(float(np.isfinite(worth.fires[good, 0]).mean()), float(worth.value[:, 0].mean() * 100))


def best_of(future: Cases, alpha: float = 0.05) -> Truth:
    """What a team that knew the future would get: of the limits that keep the cap the one that saves most."""
    tried = (truth_of(future, n, float(bound)) for n in NUMBERS for bound in np.geomspace(0.01, 0.2, 60))
    return max((true for true in tried if true.false_stops <= alpha), key=lambda true: true.benefit)


@dataclass(frozen=True)
class Tally:
    """Of simulated recalibrations of one team: verdicts; adopted limits truly over the cap, and truly worth less than the incumbent;
    bounds, one for each number, truly over the cap in any of them; gains that passed; drift seen; benefit in force afterwards."""

    verdicts: Counter[str]
    over_cap: float
    worse: float
    bound_over_cap: float
    gain_passed: float
    drift: float
    benefit: float
    incumbent: Truth
    best: Truth


def studied(team: Team, n: int, *, simulations: int, later: float | None = None) -> Tally:
    """Recalibrates so many teams of a kind, n deployments each, and looks into their future."""
    future = simulated(team, FUTURE, 999)
    own = truth_of(future, INCUMBENT.n(60), INCUMBENT.setting())
    verdicts: Counter[str] = Counter()
    over = worse = bound_over = passed = drift = 0
    benefit = 0.0
    quantile = {k: rises.peaks(len(future))[future.label == Label.GOOD] for k, rises in future.rises.items()}
    for seed in range(simulations):
        found = recommend(simulated(team, n, seed, later=later), INCUMBENT, TERMS)
        verdicts[found.verdict.word] += 1
        passed += found.gain is not None and found.gain.low > 0
        drift += any(reason.code == "drift" for reason in found.reasons)
        bound_over += any(bound is not None and float((quantile[k] > bound).mean()) > TERMS.alpha for k, bound in found.bounds.items())
        true = own
        if found.verdict is Verdict.ADOPT and found.chosen is not None:
            true = truth_of(future, *found.chosen)
            over += true.false_stops > TERMS.alpha
            worse += true.benefit < own.benefit
        benefit += true.benefit
    many = float(simulations)
    return Tally(verdicts, over / many, worse / many, bound_over / many, passed / many, drift / many, benefit / many, own, best_of(future))


USUAL, NOISY, HOPELESS = Team(), Team(noise=2.2), Team(steps=0.0)
ROWS: dict[str, tuple[Team, int, float | None]] = {
    "150 deployments": (USUAL, 150, None),
    "400 deployments": (USUAL, 400, None),
    "1,500 deployments": (USUAL, 1500, None),
    "3,000 deployments": (USUAL, 3000, None),
    "noisy team, 1,500": (NOISY, 1500, None),
    "nothing to gain, 1,500": (HOPELESS, 1500, None),
    "noise × 1.4 in the last 30 %, 1,500": (USUAL, 1500, 1.4),
}


def table(simulations: int) -> str:
    """The study as Markdown."""
    head = (
        "| team | adopt | shadow | keep | refuse | adopted, over the cap | adopted, worse | a bound of five over the cap | gain passes "
        "| drift seen | benefit in force | incumbent | best possible |"
    )
    lines = [head, "|---" + "|---:" * 12 + "|"]
    for name, (team, n, later) in ROWS.items():
        found = studied(team, n, simulations=simulations, later=later)
        verdicts = [f"{found.verdicts[word] / simulations:.0%}" for word in ("adopt", "shadow", "keep", "refuse")]
        shares = [found.over_cap, found.worse, found.bound_over_cap, found.gain_passed, found.drift]
        values = [found.benefit, found.incumbent.benefit, found.best.benefit]
        lines.append("| " + " | ".join([name, *verdicts, *(f"{one:.1%}" for one in shares), *(f"{one:,.0f}" for one in values)]) + " |")
    return "\n".join(lines)


PAGE = """\
# How far a recalibration can be trusted

Written by `make study`: {simulations} simulated teams a row, seeded, whose true rates are known. One deployment an hour, 12 % of them
bad; one in ten good ones warms up badly for a few minutes; five numbers of evaluations in a row are tried; cap {alpha:.0%},
δ {delta:.0%}. Benefit is in engineer minutes saved per 100 deployments against what people did without any criterion; true rates are
those of {future:,} further deployments.

{table}

- **Adopt** grows with the number of deployments and with what there is to gain. These teams start far from the best limit: it is worth half
  as much again. A team that starts nearer to it adopts less often at the same size, and keeps what it has; where nothing is to be gained,
  one in fifty does. What is run dry at 1,500 and more is almost all for an alarm that good deployments have changed, which at this level
  comes by chance in a few of a hundred.
- **Adopted, over the cap**: the limit truly stops more good deployments than promised. **A bound of five over the cap**: at least one of
  the five smallest admissible limits truly does; the chance of that is what δ limits.
- **Gain passes**: the lower bound of the gain on deployments left out of the choice lies above 0. Where there is nothing to gain, each
  pass would be a mistake.
- **Benefit in force**: of the limit in force afterwards, adopted or kept. It lies above the incumbent's, or is the incumbent's.
- With 60 deployments of which 5 are bad the answer is always `refuse`: a test holds it to that.
"""


def main(simulations: int = 100) -> None:
    """Write docs/study-recalibration.md."""
    page = PAGE.format(simulations=simulations, alpha=TERMS.alpha, delta=TERMS.delta, future=FUTURE, table=table(simulations))
    (Path(__file__).resolve().parents[2] / "docs" / "study-recalibration.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
