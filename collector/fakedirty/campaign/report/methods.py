"""How the figures of a report come about, as it is said in every one."""

from __future__ import annotations

METHODS = (
    "A cell is a combination of workload, memory, bandwidth and vCPUs. Only runs of one cell are compared "
    "with one another.",
    "A run that reached its time limit is censored: its total time is greater than the limit. So is one that "
    "failed, at the time at which it failed, or at 0 if its migration never began. What grows while a "
    "migration runs (traffic, rounds, pages, CPU) is at least what was seen when it was cut off. Downtime is "
    "that of completed runs alone: no other has one.",
    "Medians are those of the Kaplan-Meier estimate, which are ordinary medians where nothing is censored; a "
    "run that did not end within its limit ranks above those that ended. '>' is before a value that the median "
    "exceeds: the median of what was seen of the runs until they ended or were cut off. Intervals are 95 % "
    "percentile intervals of 9,999 resamples with a fixed seed.",
    "A treatment is compared with the baseline block by block. The median of the paired differences is given; "
    "where one of a pair was cut off, the difference is known to lie below or above a bound, and the bound is "
    "given. The ratio is the median of the paired ratios.",
    "p is that of Wilcoxon's signed rank test, two-sided, and of the sign test where pairs are censored; "
    "pairs that do not tell which is greater are left out of the test. Holm's correction is over all "
    "comparisons of the same metric.",
    "Cliff's delta is the share of all pairs of runs in which the treatment's value is the greater, less the "
    "share in which it is the smaller: from -1 to 1; 0 where neither prevails.",
    "Fake pages are given as a share of the pages that were visited again, changed or fake; first pages are "
    "not among them. Service is measured against the median of the same run before its migration; "
    "between source and destination lie the downtime and the time in which the memories were compared.",
)

#: how to read a figure of a metric by treatment
KEY = (
    "Dots are runs; a triangle is a run that was cut off there, and would have gone further. The line below "
    "them is the 95 % interval, the bar on it the median; an arrow instead says that the median lies beyond."
)
