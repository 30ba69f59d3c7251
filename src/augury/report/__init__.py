"""The report: one HTML file that opens anywhere, without a network."""

from augury.report.page import write_report

__all__ = ["write_report"]
