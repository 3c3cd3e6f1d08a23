from __future__ import annotations

import json

from proxy.store import report

HOUR = 1_700_000_000.0  # 22:13 UTC
CALL = {"model": "gpt-*", "subject": "ann", "tokens_in": 3, "tokens_out": 5, "cost_usd": 0.5, "provider_retry_count": 1}
LINES = report.summed(
    [
        (HOUR, "openai_call", CALL),
        (HOUR + 60, "openai_call", {**CALL, "tokens_in": None, "cost_usd": None, "provider_retry_count": 0}),
        (HOUR + 60, "error", CALL),
        (HOUR + 3600, "anthropic_call", {"model": "", "subject": "bob"}),
    ]
)


def test_rows_are_summed_up_by_hour_model_and_subject() -> None:
    first, second = LINES

    assert first == report.Line("2023-11-14 22:00", "gpt-*", "ann", 2, 1, 1, 3, 10, 0.5)
    assert second == report.Line("2023-11-14 23:00", "-", "bob", 1)


def test_a_table_is_for_people() -> None:
    assert report.as_table(LINES).splitlines() == [
        "hour              model  subject  calls  errors  retried  tokens_in  tokens_out  cost_usd",
        "-----------------------------------------------------------------------------------------",
        "2023-11-14 22:00  gpt-*  ann          2       1        1          3          10    0.5000",
        "2023-11-14 23:00  -      bob          1       0        0          0           0    0.0000",
        "-----------------------------------------------------------------------------------------",
        "total                                 3       1        1          3          10    0.5000",
    ]
    assert report.as_table([]) == "Nothing has been recorded in this time."


def test_the_same_is_there_for_machines() -> None:
    assert json.loads(report.as_json(LINES))[0]["tokens_out"] == 10
    assert report.as_csv(LINES).splitlines()[:2] == [
        "hour,model,subject,calls,errors,retried,tokens_in,tokens_out,cost_usd",
        "2023-11-14 22:00,gpt-*,ann,2,1,1,3,10,0.5",
    ]
