"""What the spinning cell works; there it is `pipeline/work.py`."""

SECONDS = 0.002
WORKLOAD = 1
