"""How the figures of a report are computed: the text that every report has."""

from __future__ import annotations

METHODS = (
    "A cell is a combination of workload, memory, bandwidth and vCPUs. Only runs of one cell are compared "
    "with one another.",
    "A run that reached its time limit is censored: its total time is greater than the limit. A run that failed is "
    "censored too: at the time at which it failed, or at 0 if its migration never began. What grows while a "
    "migration runs (traffic, rounds, pages, CPU) is at least what was measured when the run was cut off. Downtime "
    "is that of completed runs only: no other run has one.",
    "Medians are those of the Kaplan-Meier estimate; where nothing is censored, that is the ordinary median. A "
    "run that did not end within its limit ranks above those that ended. '>' stands before a value that the median "
    "exceeds: the median of what was measured of the runs until they ended or were cut off. Intervals are 95 % "
    "percentile intervals of 9,999 resamples with a fixed seed.",
    "A treatment is compared with the baseline block by block. The table has the median of the paired differences. "
    "If one run of a pair was cut off, its difference is only known to lie below or above a bound, and the table "
    "has the bound. The ratio is the median of the paired ratios.",
    "p is that of Wilcoxon's signed rank test, two-sided. If pairs are censored, it is that of the sign test. Pairs "
    "in which the greater value is not known are left out of the test. Holm's correction is over all "
    "comparisons of the same metric.",
    "Cliff's delta is the share of all pairs of runs in which the treatment's value is the greater, minus the "
    "share in which it is the smaller: from -1 to 1; 0 if neither prevails.",
    "Fake pages are a share of the pages that were visited again, changed or fake; first pages are "
    "not among them. The throughput of a guest is a share of the median of the same run before its migration. "
    "Between source and destination lie the downtime and the time in which the memories were compared.",
)

#: how to read the chart of a metric by treatment
KEY = (
    "Dots are runs. A triangle is a run that was cut off there, and would have gone further. The line below "
    "the dots is the 95 % interval, the bar on it the median. An arrow in the place of the bar means that the median "
    "lies beyond."
)
