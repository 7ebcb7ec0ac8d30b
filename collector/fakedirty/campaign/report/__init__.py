"""The report on a campaign: its cells compared, and what was found, as HTML, Markdown and CSV."""
