"""The report on a campaign: its treatments compared, as HTML, Markdown and CSV."""
