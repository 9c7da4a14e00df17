"""The one exception that users are meant to read."""


class UserError(Exception):
    """Something the user can mend: bad input, a missing file, a full disk.

    The message is one or more plain lines that name the file, the line or field, what was wrong and
    what would be right. The command line prints it without a traceback and exits with status 2.
    """
