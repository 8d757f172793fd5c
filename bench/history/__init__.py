"""History: a machine's results over commits, where they changed, and the page that shows it.

Stands above reporting, whose texts and drawings it uses; only the command imports it.
"""
