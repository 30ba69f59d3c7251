"""Handing over: real and synthetic images as one set that is ready to train on.

import augury

augury.handover.augment("scans", Path("ready"), generator="cvae", to="balance")
images = augury.handover.load("ready")
"""

from augury.handover.handing import augment
from augury.handover.views import as_arrays, as_dataset, load
from augury.handover.write import Handed

__all__ = ["Handed", "as_arrays", "as_dataset", "augment", "load"]
