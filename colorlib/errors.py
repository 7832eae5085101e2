"""The error that is the user's to mend."""


class UserError(ValueError):
    """One line that says what was found, what was expected and what to do.

    The command line prints it without a traceback.
    """
