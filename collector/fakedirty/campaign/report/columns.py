"""Every column of the tables that a report comes with; a test holds ``docs/campaign-report.md`` to it."""

from __future__ import annotations

from fakedirty.record.columns import COUNT, NUMBER, TEXT, Column

FACTORS = (
    Column("workload", TEXT, "", "the cell: the workload in the guest"),
    Column("memory_mib", COUNT, "MiB", "the cell: memory of the guest"),
    Column("mbit", COUNT, "Mbit/s", "the cell: bandwidth of the link"),
    Column("vcpus", COUNT, "", "the cell: vCPUs of the guest"),
)
COMPARED = (
    Column("metric", TEXT, "", "a column of the runs, see docs/data-dictionary.md"),
    Column("unit", TEXT, "", "of the metric, and of what follows"),
)

MEDIANS = (
    *FACTORS,
    Column("treatment", TEXT, "", "the treatment"),
    *COMPARED,
    Column("runs", COUNT, "runs", "that were made"),
    Column("used", COUNT, "runs", "that have a figure, be it censored"),
    Column("censored", COUNT, "runs", "whose figure is known only to be greater"),
    Column("median", NUMBER, "", "Kaplan-Meier's; `inf` where it was not reached"),
    Column("at_least", NUMBER, "", "what a median that was not reached is greater than"),
    Column("interval_low", NUMBER, "", "lower end of the 95 % interval; empty with a single run"),
    Column("interval_high", NUMBER, "", "upper end; `inf` where there is none"),
)

DIFFERENCES = (
    *FACTORS,
    Column("treatment", TEXT, "", "the treatment"),
    Column("baseline", TEXT, "", "what it is compared with"),
    *COMPARED,
    Column("pairs", COUNT, "blocks", "in which both have a figure"),
    Column("greater", COUNT, "blocks", "in which the treatment's is known to be greater"),
    Column("smaller", COUNT, "blocks", "in which it is known to be smaller"),
    Column("difference_least", NUMBER, "", "the median of treatment less baseline is at least this"),
    Column("difference_most", NUMBER, "", "and at most this: the same, unless pairs were censored"),
    Column("interval_low", NUMBER, "", "lower end of the 95 % interval; `-inf` where there is none"),
    Column("interval_high", NUMBER, "", "upper end; `inf` where there is none"),
    Column(
        "ratio_least", NUMBER, "", "the median of treatment ÷ baseline is at least this; empty where a baseline is 0"
    ),
    Column("ratio_most", NUMBER, "", "and at most this"),
    Column("cliffs_delta", NUMBER, "", "from -1 (always smaller) to 1 (always greater)"),
    Column("test", TEXT, "", "`signed rank`, or `sign` where pairs were censored"),
    Column("p", NUMBER, "", "of that test, two-sided; empty where no pair is known to differ"),
    Column("p_holm", NUMBER, "", "corrected over all comparisons of the metric"),
    Column("smallest_p", NUMBER, "", "the least that p can be with so many pairs that differ"),
)

#: each table, with its columns
REPORT_TABLES = {"medians.csv": MEDIANS, "differences.csv": DIFFERENCES}
