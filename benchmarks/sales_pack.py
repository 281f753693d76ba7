"""The twelve KPIs of the sales pack over 24 months, against hand-written SQL over the same file.

    python -m benchmarks.sales_pack [--size M] [--pairs 3] [--one-currency]

Each KPI is asked for as a total and by three dimensions that its rows have.
"""

from __future__ import annotations

from benchmarks.comparing import Case, main

_BY_DEAL = ("team", "segment", "lead_source")
CASE = Case(
    module="sales_pack",
    title="sales pack",
    packs=("sales",),
    questions=(
        (
            (
                "won_amount",
                "win_rate",
                "sales_velocity",
                "average_deal_size",
                "sales_cycle_length",
                "stage_duration",
                "sales_pipeline_value",
                "sales_growth_rate",
            ),
            _BY_DEAL,
        ),
        (("new_customers",), ("segment", "lead_source", "country")),
        (("pipeline_coverage",), ("team", "owner_id", "segment")),
        (("quota_attainment",), ("team", "owner_id", "owner.role")),
        (("sales_forecast_accuracy",), ("team", "owner_id", "forecast_category")),
    ),
    values=(
        "1_common",
        "2_closed_deals",
        "3_open_deals",
        "4_deal_names",
        "4_stages",
        "5_pipeline",
        "6_new_customers",
        "7_quotas",
        "8_forecasts",
    ),
    answer=(
        "answer/1_common",
        "answer/2_deals",
        "answer/3_closed_deals",
        "answer/4_open_deals",
        "answer/5_steps",
        "answer/6_stages",
        "answer/7_pipeline",
        "answer/8_new_customers",
        "answer/9_owners",
        "answer/10_quotas",
        "answer/11_forecasts",
    ),
)

if __name__ == "__main__":
    main(CASE)
