"""Every column of the tables of a report. A test compares ``docs/campaign-report.md`` with it."""

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
    Column("unit", TEXT, "", "of the metric, and of the values that follow"),
)

MEDIANS = (
    *FACTORS,
    Column("treatment", TEXT, "", "the treatment"),
    *COMPARED,
    Column("runs", COUNT, "runs", "that were made"),
    Column("used", COUNT, "runs", "that have a value, censored ones included"),
    Column("censored", COUNT, "runs", "whose true value is greater than the one that was measured"),
    Column("median", NUMBER, "", "of the Kaplan-Meier estimate; `inf` if it was not reached"),
    Column("at_least", NUMBER, "", "a median that was not reached is greater than this"),
    Column("interval_low", NUMBER, "", "lower end of the 95 % interval; empty with a single run"),
    Column("interval_high", NUMBER, "", "upper end; `inf` if there is none"),
)

DIFFERENCES = (
    *FACTORS,
    Column("treatment", TEXT, "", "the treatment"),
    Column("baseline", TEXT, "", "the treatment that it is compared with"),
    *COMPARED,
    Column("pairs", COUNT, "blocks", "in which both have a value"),
    Column("greater", COUNT, "blocks", "in which the treatment's value is known to be greater"),
    Column("smaller", COUNT, "blocks", "in which it is known to be smaller"),
    Column("difference_least", NUMBER, "", "the median of treatment minus baseline is at least this"),
    Column("difference_most", NUMBER, "", "and at most this: the same, unless pairs were censored"),
    Column("interval_low", NUMBER, "", "lower end of the 95 % interval; `-inf` if there is none"),
    Column("interval_high", NUMBER, "", "upper end; `inf` if there is none"),
    Column(
        "ratio_least",
        NUMBER,
        "",
        "the median of treatment ÷ baseline is at least this; empty if a value of the baseline is 0",
    ),
    Column("ratio_most", NUMBER, "", "and at most this"),
    Column("cliffs_delta", NUMBER, "", "from -1 (always smaller) to 1 (always greater)"),
    Column("test", TEXT, "", "`signed rank`, or `sign` if pairs were censored"),
    Column("p", NUMBER, "", "of that test, two-sided; empty if no pair is known to differ"),
    Column("p_holm", NUMBER, "", "corrected over all comparisons of the metric"),
    Column("smallest_p", NUMBER, "", "the smallest p that so many differing pairs can give"),
)

#: each table with its columns
REPORT_TABLES = {"medians.csv": MEDIANS, "differences.csv": DIFFERENCES}
