"""Twelve KPIs of five packs over 24 months, against hand-written SQL over the same file.

    python -m benchmarks.twelve_kpis [--size M] [--pairs 3] [--one-currency]

Win rate, average deal size, cycle, pipeline at month ends, retention and churn of customers and of
revenue, movements of MRR, NPS, first response time, lead conversion within 90 days, return of
campaigns, sales velocity and forecast accuracy; each as a total and by three dimensions.
"""

from __future__ import annotations

from benchmarks.comparing import Case, main

_BY_ACCOUNT = ("segment", "country", "account.industry")
CASE = Case(
    module="twelve_kpis",
    title="twelve KPIs",
    packs=("sales", "leads", "retention", "revenue", "marketing", "service"),
    questions=(
        (
            (
                "win_rate",
                "average_deal_size",
                "sales_cycle_length",
                "sales_velocity",
                "sales_pipeline_value",
            ),
            ("team", "segment", "lead_source"),
        ),
        (
            (
                "customer_retention_rate",
                "customer_churn_rate",
                "gross_revenue_retention",
                "net_revenue_retention",
                "net_new_mrr",
                "net_promoter_score",
            ),
            _BY_ACCOUNT,
        ),
        (("first_response_time",), ("channel", "priority", "segment")),
        (("lead_conversion_rate",), ("lead_source", "segment", "owner.team")),
        (("marketing_roi",), ("campaign_id", "channel", "segment")),
        (("sales_forecast_accuracy",), ("team", "owner_id", "forecast_category")),
    ),
    values=(
        "1_common",
        "2_closed_deals",
        "3_open_deals",
        "4_deal_names",
        "5_pipeline",
        "8_forecasts",
        "twelve/1_accounts",
        "twelve/2_surveys",
        "twelve/3_cases",
        "twelve/4_leads",
        "twelve/5_campaigns",
    ),
    answer=(
        "answer/1_common",
        "answer/2_deals",
        "answer/3_closed_deals",
        "answer/4_open_deals",
        "answer/twelve/1_pipeline_steps",
        "answer/7_pipeline",
        "answer/9_owners",
        "answer/11_forecasts",
        "answer/twelve/2_accounts",
        "answer/twelve/3_surveys",
        "answer/twelve/4_cases",
        "answer/twelve/5_leads",
        "answer/twelve/6_campaigns",
    ),
)

if __name__ == "__main__":
    main(CASE)
