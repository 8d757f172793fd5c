"""What a run prints at its end: a table of its stages, and two lines."""

from pipeline.bulk.report import Report

__all__ = ["show"]

MIB = 2**20


def show(report: Report, failed: int) -> None:
    """Print the stages, the bottleneck with what to raise, and how many rows failed."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if report.stages:
        table = Table("stage", box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for heading in ("workers", "items", "items/s", "busy", "memory"):
            table.add_column(heading, justify="right")
        for stage in report.stages:
            table.add_row(
                stage.stage,
                str(stage.workers),
                str(stage.items),
                f"{stage.items_per_second:.3g}",
                f"{stage.busy:.0%}",
                f"{stage.memory_bytes / MIB:.0f} MiB",
            )
        console.print(table)
        rate, loading = report.items_per_second, report.startup_seconds
        text = f"{report.items} items in {report.seconds:.1f} s, {rate:.3g} items/s"
        console.print(f"{text}, after {loading:.1f} s of loading", soft_wrap=True)
        bottleneck = f"bottleneck: {report.bottleneck}; " if report.bottleneck else ""
        console.print(f"{bottleneck}{report.advice}", soft_wrap=True)
    else:
        console.print("nothing is missing")
    if failed:
        rows = "1 row" if failed == 1 else f"{failed} rows"
        console.print(f"failed: {rows} of the dataset; see the column error", soft_wrap=True)
