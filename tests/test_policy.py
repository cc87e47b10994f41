"""policy/criteria.toml: read, checked, changed and written back."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from toolkit.criteria.lint import lint
from toolkit.criteria.policy import EXAMPLE, Policy
from toolkit.criteria.terms import Terms
from toolkit.errors import DataError, UsageError

TODAY = date(2026, 6, 1)
TWO = """\
# agreed on a Tuesday
version = 1

[[criterion]]
name = "errors"    # what users see
kind = "threshold"
limit = 0.02
for = "5m"
since = 2026-01-01
adopted_by = "ana"

[[criterion]]
kind = "burn_rate"
name = "budget"
slo = 0.999
service_class = "critical"
since = 2026-01-01
adopted_by = "ana"

# nobody has looked at this for a year
[recalibration]
alpha = 0.04
"""


def refusal(text: str) -> str:
    with pytest.raises(DataError) as error:
        Policy(text, "criteria.toml")
    return error.value.message


def test_the_example_is_a_policy() -> None:
    policy = Policy(EXAMPLE)
    (canary,) = policy.in_force(TODAY)
    assert (canary.name, canary.kind, canary.setting(), canary.n(60)) == ("canary errors", "canary", 0.05, 3)
    assert lint(policy, today=TODAY) == []


@pytest.mark.parametrize(
    ("wrong", "line", "said"),
    [
        ('limit = "high"', 7, "limit: Input should be a valid number"),
        ("limit = nan", 7, "a limit is a number, not NaN or infinity"),
        ("limt = 0.02", 4, "limit: missing: add it"),
        ('limit = 0.02\nfor = "five minutes"', 8, "write 30s, 5m, 1h30m or 3d"),
        ("limit = 0.02\nuntil = 2025-01-01", 4, "lies before since = 2026-01-01: swap them"),
        ("limit = 0.02\nmin_event = 3", 8, "nothing of that name belongs here"),
    ],
)
def test_an_error_names_the_line_and_the_fix(wrong: str, line: int, said: str) -> None:
    text = TWO.replace('limit = 0.02\nfor = "5m"', wrong)
    message = refusal(text)
    assert f"criteria.toml, line {line}:" in message
    assert said in message


def test_an_unknown_kind_lists_the_kinds() -> None:
    assert "line 6: 'treshold' is no kind of criterion: write one of threshold, failed_checks" in refusal(
        TWO.replace("threshold", "treshold")
    )
    assert "line 22: alpha: Input should be less than 1" in refusal(TWO.replace("alpha = 0.04", "alpha = 4"))
    assert "line 15: slo: 99.9 is no share: write 99.9 % as 0.999" in refusal(TWO.replace("slo = 0.999", "slo = 99.9"))
    assert "at line 4" in refusal("version = 1\n[[criterion]]\nname = 'a'\nkind = \n")
    assert "'criteria' is nothing of this file" in refusal("[[criteria]]\nname = 'a'\n")


@pytest.mark.parametrize(
    "hostile",
    [
        'kind = ["threshold"]',
        "kind = {}",
        'kind = "threshold"\nlimit = 1e400',
        'kind = "threshold"\nlimit = 0.1\nstep = "0s"',
        'kind = "burn_rate"\nslo = 0.999\nperiod = "0s"',
        'kind = "burn_rate"\nslo = 0.999\npairs = [{long = "1m", short = "1h", budget = 0.02}]',
        'kind = "anomaly"\nlimit = 3\nhalflife = "0s"',
        'kind = "no_data"\nfor = "-1m"',
        'kind = "any_of"\nmembers = []',
        'kind = "any_of"\nmembers = [1]',
        'kind = "any_of"\nmembers = [{kind = "some_of"}]',
        'kind = "any_of"\npath = [2.0, 1.0]\nmembers = [{kind = "threshold", limit = 1}]',
        'kind = "failed_checks"\nlimit = 0.1\nk = 0',
        'kind = "failed_checks"\nlimit = 0.1\nsteps = 5',
        'kind = "failed_checks"\nlimit = 0.1\ncontroller = "argo_rollouts"\nsuccess_limit = 0.2',
        'kind = "canary"\nlimit = 101\nmode = "mann_whitney"',
        'kind = "threshold"\nlimit = 0.1\nname = "a\\u0007b"',
    ],
)
def test_what_is_no_criterion_is_refused_with_its_line(hostile: str) -> None:
    name = "" if "name" in hostile else 'name = "c"\n'
    assert re.match(r"criteria\.toml, line [1-9]\d*: .+\.$", refusal(f"[[criterion]]\n{name}{hostile}\n"))


def test_one_criterion_cannot_be_in_force_twice() -> None:
    again = TWO + '\n[[criterion]]\nname = "errors"\nkind = "threshold"\nlimit = 0.03\nsince = 2026-03-01\n'
    assert "'errors' is in force twice at once: give the earlier one until = 2026-03-01" in refusal(again)


def test_a_change_keeps_comments_and_order_and_ends_the_one_before(tmp_path: Path) -> None:
    policy = Policy(TWO)
    errors = policy.named("errors").at(limit=0.03, n=3, step=60)
    changed = policy.adopted(errors, since=date(2026, 6, 1), by="ben", why="five false stops in May", expires=date(2026, 8, 30))
    before, after = TWO.splitlines(), changed.text.splitlines()
    # Every line is still there, in its order.
    rest = iter(after)
    assert all(any(line == other for other in rest) for line in before)
    assert [(one.name, one.setting(), one.until) for one in changed.criteria] == [
        ("errors", 0.02, date(2026, 6, 1)),
        ("budget", 1.0, None),
        ("errors", 0.03, None),
    ]
    assert [one.setting() for one in changed.in_force(date(2026, 5, 31)) if one.name == "errors"] == [0.02]
    assert [one.setting() for one in changed.in_force(date(2026, 6, 1)) if one.name == "errors"] == [0.03]
    new = changed.named("errors", TODAY)
    assert (new.n(60), new.adopted_by, new.why, new.expires) == (3, "ben", "five false stops in May", date(2026, 8, 30))
    path = changed.save(tmp_path)
    assert Policy.read(tmp_path).criteria == changed.criteria  # type: ignore[union-attr]
    assert [item.name for item in path.parent.iterdir()] == ["criteria.toml"]


def test_a_criterion_is_in_force_for_its_class_and_its_days() -> None:
    policy = Policy(TWO)
    names = lambda day, **scope: [one.name for one in policy.in_force(day, **scope)]  # noqa: E731
    assert names(date(2025, 12, 31)) == []
    assert names(TODAY, service="cart", service_class="internal") == ["errors"]
    assert names(TODAY, service="cart", service_class="critical") == ["errors", "budget"]
    with pytest.raises(UsageError, match="There are: errors, budget"):
        policy.named("latency")


def test_of_one_name_the_narrowest_scope_holds() -> None:
    scopes = {"everybody": "", "critical": 'service_class = "critical"', "checkout": 'service = "checkout"'}
    limits = {"everybody": 0.05, "critical": 0.02, "checkout": 0.01}
    policy = Policy(
        "".join(f'[[criterion]]\nname = "errors"\nkind = "threshold"\nlimit = {limits[who]}\n{scope}\n' for who, scope in scopes.items())
    )
    held = lambda service, cls: [one.setting() for one in policy.in_force(TODAY, service=service, service_class=cls)]  # noqa: E731
    assert held("search", "standard") == [0.05]
    assert held("search", "critical") == [0.02]
    assert held("checkout", "critical") == [0.01]
    assert len(policy.in_force(TODAY)) == 3


def test_a_feature_has_its_latency_its_budget_and_its_critical_path() -> None:
    policy = Policy("""
        [[criterion]]
        name = "checkout is quick"
        kind = "threshold"
        service = "checkout"
        feature = "pay"
        objective = "latency"
        series = "pay_p99_seconds"
        limit = 1.5
        for = "5m"

        [[criterion]]
        name = "checkout keeps its budget"
        kind = "burn_rate"
        service = "checkout"
        feature = "pay"
        objective = "error_budget"
        slo = 0.999

        [[criterion]]
        name = "pay by card works"
        kind = "all_of"
        service = "checkout"
        feature = "pay"
        objective = "critical_path"

        [[criterion.members]]
        kind = "threshold"
        series = "card_authorised"
        limit = 0.9
        below = true

        [[criterion.members]]
        kind = "threshold"
        series = "card_attempts"
        limit = 30
        min_events = 0
    """)
    held = policy.in_force(TODAY, service="checkout")
    assert [(one.objective, one.feature) for one in held] == [("latency", "pay"), ("error_budget", "pay"), ("critical_path", "pay")]
    assert policy.in_force(TODAY, service="search") == ()
    path = held[2]
    assert path.arms() == (("card_authorised", "all"), ("card_attempts", "all"))
    # A member that is wrong is told by its line, too.
    broken = policy.text.replace("limit = 30", "limit = 'many'")
    line = 1 + next(number for number, text in enumerate(broken.splitlines()) if "many" in text)
    assert f"line {line}: members.1.limit: Input should be a valid number" in refusal(broken)


def test_what_the_policy_says_does_not_depend_on_its_layout() -> None:
    plain = "\n".join(line.split("#")[0].rstrip() for line in TWO.splitlines() if line.split("#")[0].strip())
    assert Policy(plain).content() == Policy(TWO).content()
    assert Policy(TWO.replace("0.02", "0.03")).content() != Policy(TWO).content()


def test_every_default_of_a_recalibration_is_a_term_of_the_policy() -> None:
    assert Policy("").terms == Terms()
    assert Policy(TWO).terms.alpha == 0.04
    # ln(δ / m) / ln(1 − α), rounded up.
    assert [Terms().min_good(m) for m in (1, 5, 10)] == [45, 77, 90]
    assert Terms().horizon == timedelta(hours=2)


def warned(*criteria: str, terms: str = "") -> dict[str, str]:
    text = "".join(f'[[criterion]]\nname = "c{place}"\nadopted_by = "a"\nsince = 2026-01-01\n{one}\n' for place, one in enumerate(criteria))
    return {found.rule: found.text for found in lint(Policy(text + terms), today=TODAY)}


def test_five_minutes_at_one_a_minute_are_six_evaluations() -> None:
    assert "is 6 evaluations in a row, not 5" in warned('kind = "threshold"\nlimit = 0.1\nfor = "5m"\nstep = "1m"')["one_more"]


def test_a_failure_condition_alone_lets_nan_pass() -> None:
    rule = 'kind = "failed_checks"\nlimit = 0.1\ncontroller = "argo_rollouts"\n'
    assert "lets NaN pass" in warned(rule)["nan_passes"]
    assert "nan_passes" not in warned(rule + 'no_data = "fails"')


def test_an_objective_of_ninety_per_cent_can_never_burn_at_14_4() -> None:
    assert "burns at 10 times at most, and never at 14.4" in warned('kind = "burn_rate"\nslo = 0.9')["never_burns"]
    assert "never_burns" not in warned('kind = "burn_rate"\nslo = 0.95')


def test_six_criteria_at_five_per_cent_are_twenty_six() -> None:
    assert "at 5% each, 26% of the good ones" in warned(*['kind = "threshold"\nlimit = 0.1'] * 6)["caps_add_up"]
    assert "caps_add_up" not in warned('kind = "threshold"\nlimit = 0.1')


def test_an_expired_criterion_is_a_finding() -> None:
    assert "by 2026-05-31" in warned('kind = "threshold"\nlimit = 0.1\nexpires = 2026-05-31')["expired"]
    assert "expired" not in warned('kind = "threshold"\nlimit = 0.1\nexpires = 2026-06-02')
