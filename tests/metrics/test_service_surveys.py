"""The pack `service`: which answers and invitations count."""

from __future__ import annotations

from pathlib import Path

from metrics.service_asking import ANSWERS, JANUARY, ask, by_segment, one


def test_the_latest_answer_of_a_case_counts_in_every_group_anew(tmp_path: Path) -> None:
    text = (
        ANSWERS
        + """responded_at
1,csat,c1,a,ann,1,1,5,2026-01-05T00:00:00Z
2,csat,c1,b,bob,5,1,5,2026-01-06T00:00:00Z
3,csat,c1,b,bob,,1,5,2026-01-07T00:00:00Z
4,csat,,a,ann,2,1,5,2026-01-05T00:00:00Z
5,csat,,a,ann,5,1,5,2026-01-05T00:00:00Z
6,csat,,,ann,5,1,5,2026-01-05T00:00:00Z
7,csat,,,ann,5,1,5,2026-01-05T00:00:00Z
8,csat,c2,a,ann,9,1,5,2026-01-05T00:00:00Z
9,csat,c3,a,ann,1,1,1,2026-01-05T00:00:00Z
"""
    )
    total = one(ask(tmp_path, text, "csat"))
    assert (total["numerator"], total["n"]) == (4, 4)
    assert total["coverage"]["missing_score"] == 1
    assert total["coverage"]["out_of_scale"] == 2
    rows = ask(tmp_path, text, "csat", by=["user_id"])
    assert by_segment(rows) == {"ann": 0.75, "bob": 1.0}


def test_the_threshold_is_a_setting(tmp_path: Path) -> None:
    text = ANSWERS + "responded_at\n1,csat,c1,a,u,3,1,5,2026-01-05T00:00:00Z\n"
    strict = one(ask(tmp_path, text, "csat"))
    mild = one(ask(tmp_path, text, "csat", settings={"csat": {"threshold": 0.5}}))
    assert (strict["value"], mild["value"]) == (0, 1)
    assert "low_sample" in mild["flags"]


def test_answers_alone_have_no_response_rate(tmp_path: Path) -> None:
    text = ANSWERS + "responded_at\n1,csat,c1,a,u,3,1,5,2026-01-05T00:00:00Z\n"
    for period in (JANUARY, "2025-12"):
        row = one(ask(tmp_path, text, "survey_response_rate", period=period))
        assert (row["value"], row["status"]) == (None, "no_invitations")
    empty = one(ask(tmp_path, "@survey_responses\nid\n", "survey_response_rate"))
    assert (empty["value"], empty["status"]) == (None, "missing_dataset")


def test_an_answer_before_its_invitation_is_invalid(tmp_path: Path) -> None:
    text = (
        ANSWERS
        + """sent_at,responded_at
1,csat,c1,a,u,3,1,5,2026-01-05T00:00:00Z,2026-01-04T00:00:00Z
2,csat,c1,a,u,3,1,5,2026-01-05T00:00:00Z,2026-01-18T23:59:59Z
3,csat,c1,a,u,3,1,5,2026-01-05T00:00:00Z,2026-01-19T00:00:00Z
4,csat,c1,a,u,3,1,5,,2026-01-19T00:00:00Z
"""
    )
    row = one(ask(tmp_path, text, "survey_response_rate"))
    assert (row["numerator"], row["denominator"]) == (1, 3)
    assert row["coverage"]["invalid_duration"] == 1
