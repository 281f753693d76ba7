"""The known answers: the KPIs of the sales pack, recounted from the sample's records.

Plain loops over plain records, rule by rule as the KPI catalogue words them: no SQL and nothing of
the engine, so that an error there cannot hide here. The reporting currency is USD, settings are
the defaults, and as_of is late enough for everything in the export.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Literal

from crmetrics.testing.data import truth_deals as by_deals
from crmetrics.testing.data import truth_history as history
from crmetrics.testing.data import truth_plans as plans
from crmetrics.testing.data.facts import Deal, Facts, Grain, Group, Span, mean, quantile

Figure = Callable[[Facts, Sequence[Deal], Span], float | None]

FIGURES: dict[str, Figure] = {
    "won_amount": by_deals.won_amount,
    "won_amount.won_count": by_deals.won_count,
    "lost_count": by_deals.lost_count,
    "new_customers": history.new_customers,
    "new_customers.include_reactivated": history.new_or_returned_customers,
    "win_rate": by_deals.win_rate,
    "win_rate.by_amount": by_deals.win_rate_by_amount,
    "win_rate.cohort": by_deals.win_rate_cohort,
    "sales_velocity": by_deals.sales_velocity,
    "sales_velocity.open_opportunities": by_deals.open_deals,
    "sales_velocity.average_deal_size": by_deals.recent_deal_size,
    "sales_velocity.win_rate": by_deals.recent_win_rate,
    "sales_velocity.cycle_days": by_deals.recent_cycle_days,
    "average_deal_size": by_deals.average_deal_size,
    "average_deal_size.median": by_deals.median_deal_size,
    "sales_cycle_length": by_deals.cycle_median,
    "sales_cycle_length.mean": by_deals.cycle_mean,
    "sales_cycle_length.p90": by_deals.cycle_p90,
    "sales_cycle_length.lost": by_deals.cycle_lost,
    "sales_cycle_length.from_lead": by_deals.cycle_from_lead,
    "sales_pipeline_value": history.pipeline_value,
    "sales_pipeline_value.weighted": history.pipeline_weighted,
    "sales_pipeline_value.closing_in_period": history.pipeline_closing,
    "sales_pipeline_value.overdue": history.pipeline_overdue,
    "sales_forecast_accuracy": plans.forecast_accuracy,
    "sales_forecast_accuracy.company_level": plans.forecast_company_level,
    "sales_forecast_accuracy.mape": plans.forecast_mape,
    "sales_forecast_accuracy.bias": plans.forecast_bias,
    "sales_growth_rate": by_deals.growth_on_previous,
    "sales_growth_rate.year_over_year": by_deals.growth_year_over_year,
    "sales_growth_rate.trailing_12m": by_deals.growth_trailing,
    "quota_attainment": plans.quota_attainment,
    "quota_attainment.share_at_target": plans.share_at_target,
}
"""Every known answer by its id; stage_duration and pipeline_coverage are methods of `Truth`.

`lost_count` is no KPI of the catalogue, but what win_rate leaves unsaid.
"""

BY_GROUP: dict[str, Callable[[Deal], bool]] = {
    "won_amount": lambda deal: bool(deal.row["is_won"] and deal.usd is not None),
    "won_amount.won_count": lambda deal: bool(deal.row["is_won"]),
    "lost_count": lambda deal: bool(deal.row["is_closed"] and not deal.row["is_won"]),
    "win_rate": lambda deal: bool(deal.row["is_closed"]),
    "average_deal_size": lambda deal: bool(deal.row["is_won"] and deal.usd is not None),
    "average_deal_size.median": lambda deal: bool(deal.row["is_won"] and deal.usd is not None),
    "sales_cycle_length": lambda deal: bool(deal.row["is_won"]),
}
"""The answers that `Truth.groups` can split, each with the deals that make a group appear (S7)."""


class Truth(Facts):
    """Figures of the sales pack per period: money in USD, rates as fractions, durations in days."""

    def figure(self, kpi: str, *, grain: Grain = "month") -> dict[date, float | None]:
        """The value per period (by its first day) of a KPI, or of a variant as `kpi.variant`.

        KeyError for what is not in `FIGURES`.
        """
        compute = FIGURES[kpi]
        return {span.start: compute(self, self.deals, span) for span in self.spans(grain)}

    def groups(
        self, kpi: str, by: Group, *, grain: Grain = "month"
    ) -> dict[tuple[date, str], float | None]:
        """The value per period and group of what is in `BY_GROUP`.

        A group without a row in a period is absent; null is the group `(none)`.
        """
        compute, is_counted = FIGURES[kpi], BY_GROUP[kpi]
        found: dict[tuple[date, str], float | None] = {}
        for span in self.spans(grain):
            parts: dict[str, list[Deal]] = {}
            for deal in self.deals:
                if is_counted(deal) and deal.row["close_date"] in span:
                    parts.setdefault(deal.group(by), []).append(deal)
            for name, deals in parts.items():
                found[span.start, name] = compute(self, deals, span)
        return found

    def stage_duration(
        self,
        variant: Literal["", "mean", "p90", "won_only"] = "",
        *,
        grain: Grain = "month",
    ) -> dict[tuple[date, str], float | None]:
        """Days in stage per period and stage: the median, the mean, the 90th percentile, or the
        median over deals that were won."""
        found = {}
        for span in self.spans(grain):
            stages = history.stage_days(self, span, won_only=variant == "won_only")
            for stage, days in stages.items():
                if variant == "mean":
                    found[span.start, stage] = mean(days)
                else:
                    found[span.start, stage] = quantile(days, 90 if variant == "p90" else 50)
        return found

    def pipeline_coverage(self, start: date, end: date, as_of: datetime) -> float | None:
        """The coverage of the quota period [start, end) seen from `as_of`, which must not lie
        before the export: deals are known only as they were then."""
        return plans.pipeline_coverage(self, Span(start, end), as_of)
