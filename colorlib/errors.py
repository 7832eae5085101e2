"""Exceptions: errors that the user can fix, unreadable photographs, interruption."""

import signal


class UserError(ValueError):
    """One line that says what was found, what was expected and what to do.

    The command line prints it without a traceback.
    """


class PhotographError(UserError):
    """A file that is no photograph we can read or write; the message names it.

    Attributes:
        name: The file.
        reason: What is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class Interrupted(BaseException):
    """A signal asked the work to end; what is finished is kept.

    No error, so nothing that mends errors catches it. No `KeyboardInterrupt` either:
    Lightning and typer catch those, and end with exit codes of their own.

    Args:
        signum: Which signal, such as `signal.SIGTERM`.
        done: What is kept, for whoever reads the message.
    """

    def __init__(self, signum: int, done: str = "what is finished is kept") -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; {done}")
        self.signum = signum
