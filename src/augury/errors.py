"""What can go wrong, in the user's words.

    AuguryError
    ├── SettingsError    a setting or a command that cannot be meant
    ├── DataError        images, labels or files that cannot be used as they are
    ├── LeakError        an image that was seen in training is about to be scored
    ├── TrainingError    a training that diverged
    ├── StoreBusyError   another run holds the store
    ├── StoreFullError   the store takes no more results
    └── StepDiedError    a step's process ended without a result

Every message says what was expected, what came, and what to do about it.
"""


class AuguryError(Exception):
    """Anything that Augury reports as a sentence rather than as a traceback."""


class SettingsError(AuguryError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(AuguryError):
    """Images, labels or files cannot be used as they are."""


class LeakError(AuguryError):
    """An image that a model, or the generator behind its images, saw in training is about to be scored."""


class TrainingError(AuguryError):
    """A training diverged."""


class StoreBusyError(AuguryError):
    """Another run holds the store."""


class StoreFullError(AuguryError):
    """The store takes no more results: no space, a limit on file sizes, or no right to write."""


class StepDiedError(AuguryError):
    """The process of a step ended without a result (killed, or out of memory)."""
