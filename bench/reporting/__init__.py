"""Reporting: texts, tables, Markdown, charts, plots, the page."""
