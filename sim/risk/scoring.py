"""How right risk control was. This is the only part of it that reads the ground truth, and it decides nothing.

An attempt is a sign-up, an order or a reward that was judged. A person is caught when flagged (by a rule, or blocked by
the policy or after review), or refused at sign-up; once caught, always, whatever an appeal comes to. Whoever was
refused an order or a reward, and nothing else, is not caught.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from sim.people import NEVER
from sim.risk import signals
from sim.risk.desk import CaseKind

if TYPE_CHECKING:
    from sim.risk.controls import RiskControl
    from sim.risk.policy import Judgements
    from sim.shop import Shop

Array = npt.NDArray[Any]


def score(shop: Shop, risk: RiskControl) -> dict[str, float]:
    """Return figures of detection by the ground truth; NaN where nothing happened that could be judged.

    ``detection_precision``
        Share of those caught who are fake.
    ``detection_recall``
        Share of the fake who tried to sign up who were caught.
    ``detection_delay_days``
        Mean days from the first attempt of the fake who were caught until they were.
    ``detection_auc``
        Chance that a fake account of this run has a higher score than an honest one. With a detector: of those that it
        judged once it had learnt from labels, the score at the last judgement by a model that had not learnt theirs.
        Without: the simple score of :mod:`sim.risk.signals`, of all.
    ``single_feature_auc``
        The best that a rule on one signal could do at the same judgements, in whichever direction.
    ``false_intercept_rate``
        Share of honest persons' attempts that were refused, or as orders cancelled after review.
    ``false_hold_rate``
        Share of honest persons' orders that had to wait for the review desk.
    ``honest_hit``
        Honest persons who were refused something or flagged.
    ``honest_hit_share``
        Their share of the honest persons who were judged, or flagged, at all.
    ``fraud_accounts``
        Fake accounts that got in.
    """
    people, cases = shop.people, risk.cases
    known = len(cases)
    fake, exists = people.fake, people.joined > NEVER
    caught = np.zeros(len(people), bool)
    caught[:known] = cases.caught >= 0
    refused = np.zeros(len(people), bool)
    refused[:known] = cases.refused > 0
    tried = exists | caught
    hits = np.flatnonzero(caught & fake)
    since = np.where(exists[hits], np.minimum(people.joined[hits], cases.caught[hits]), cases.caught[hits])
    delay = (cases.caught[hits] - since) * shop.clock.days_a_tick
    honest = ~fake[:known]
    return {
        "detection_precision": _ratio(hits.size, caught.sum()),
        "detection_recall": _ratio(hits.size, (fake & tried).sum()),
        "detection_delay_days": float(delay.mean()) if delay.size else math.nan,
        **(_auc_of_suspicion(shop) if risk.policy is None else _auc_of_judgements(shop, risk.policy.judgements)),
        "false_intercept_rate": _ratio(cases.refused[honest].sum(), cases.attempts[honest].sum()) if known else 0.0,
        "false_hold_rate": _false_hold_rate(shop, risk),
        "honest_hit": float((~fake & (refused | caught)).sum()),
        "honest_hit_share": _ratio(
            (~fake & (refused | caught)).sum(), (honest & ((cases.attempts > 0) | caught[:known])).sum()
        ),
        "fraud_accounts": float((fake & exists).sum()),
    }


def _false_hold_rate(shop: Shop, risk: RiskControl) -> float:
    if risk.casework is None or risk.casework.desk is None:
        return 0.0
    cases, book = risk.casework.desk.cases, shop.book
    held = cases.ref[cases.kind == CaseKind.ORDER]
    return _ratio((~shop.people.fake[book.person[held]]).sum(), (~shop.people.fake[book.person]).sum())


def _auc_of_suspicion(shop: Shop) -> dict[str, float]:
    accounts = np.flatnonzero(shop.people.joined >= 0)
    return {"detection_auc": auc(signals.scores(shop.people, shop.clock, accounts), shop.people.fake[accounts])}


def _auc_of_judgements(shop: Shop, judgements: Judgements) -> dict[str, float]:
    """Return how well scores and single signals told the judged accounts apart, each at its last fair judgement."""
    fair = np.flatnonzero(judgements.fair)
    rows = fair[fair.size - 1 - np.unique(judgements.person[fair][::-1], return_index=True)[1]]
    fake = shop.people.fake[judgements.person[rows]]
    single = [auc(column, fake) for column in judgements.signals[rows].T]
    return {
        "detection_auc": auc(judgements.score[rows], fake),
        "single_feature_auc": max((max(a, 1 - a) for a in single), default=math.nan),
    }


def auc(scores: Array, positive: Array) -> float:
    """Return the area under the ROC curve: the Mann-Whitney statistic, ties counting half; NaN if one class is empty.

    Parameters
    ----------
    scores : float ndarray, shape (n,)
    positive : bool ndarray, shape (n,)
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return math.nan
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - m * (m + 1) / 2) / (m * n))


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else math.nan
