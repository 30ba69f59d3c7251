"""The audit of a generator: how near its images come to real ones, and whether they are copies."""

from augury.audit.copying import Copying, CopyingInSpace, Witness, copycat, copying, unused, witness
from augury.audit.decision import Controls, Decision, decide_copying
from augury.audit.fidelity import Fidelity, PairDiversity, SpaceFidelity, diversity, fidelity
from augury.audit.spaces import Parts, Views

__all__ = [
    "Controls",
    "Copying",
    "CopyingInSpace",
    "Decision",
    "Fidelity",
    "PairDiversity",
    "Parts",
    "SpaceFidelity",
    "Views",
    "Witness",
    "copycat",
    "copying",
    "decide_copying",
    "diversity",
    "fidelity",
    "unused",
    "witness",
]
