"""A campaign made by hand, laid out as its directory."""

from __future__ import annotations

import json
from pathlib import Path

from campaign_frames import Campaign
from fakedirty.record.load import rows

PLANNED = ("run", "block", "workload", "memory_mib", "treatment", "mbit", "vcpus", "repetition")


def lay_out(campaign: Campaign, directory: Path) -> Path:
    """Its plan and its runs, without their recordings: rounds and toggles are not in it."""
    factors = {name: [str(each) for each in campaign.runs[name].unique()] for name in ("workload", "treatment")}
    text = f"name = {json.dumps(campaign.name)}\nseed = 7\n\n[factors]\n" + "".join(
        f"{name} = {json.dumps(values)}\n" for name, values in factors.items()
    )
    (directory / "campaign.toml").write_text(text)
    plan = {
        "name": campaign.name,
        "seed": 7,
        "versions": {"fakedirty": "0.1.0", "kernel": "Linux 6.1"},
        "file": str(directory / "campaign.toml"),
        "text": text,
        "left_out": campaign.left_out,
        "runs": [{name: row[name] for name in PLANNED} for row in rows(campaign.runs)],
    }
    (directory / "campaign.json").write_text(json.dumps(plan))
    for row in rows(campaign.runs):
        run = directory / "runs" / row["run"]
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps(row | {"migration_id": None}))
        service = campaign.service[campaign.service["run"] == row["run"]]
        service.to_csv(run / "service.csv", index=False)
    return directory
