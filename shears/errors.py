"""The one error that is meant for the person who runs the workflow."""


class UserError(Exception):
    """Something a user can cause and can mend.

    Its text is one or two lines: the file or key, what was found, what was expected and
    what to do. Stages print it without a traceback and exit with 1.
    """
