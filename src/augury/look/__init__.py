"""A look at some images before a study: what is there, what is wrong with it, and what a study would do about it."""

from augury.look.findings import Finding, findings
from augury.look.overview import Look, Twins, look
from augury.look.sheet import write_sheet
from augury.look.shortcuts import Shortcut
from augury.look.words import as_json, as_text

__all__ = ["Finding", "Look", "Shortcut", "Twins", "as_json", "as_text", "findings", "look", "write_sheet"]
