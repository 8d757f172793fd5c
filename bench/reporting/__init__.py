"""Reporting: what a run and a comparison say, as tables, Markdown, charts and one HTML page.

Imports all rooms below it (comparing, measuring, results, machine, statistics); nothing but the
command and the measuring session imports it.
"""
