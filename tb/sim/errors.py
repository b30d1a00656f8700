"""Defines the errors that mean: the device under test is wrong."""


class BenchError(AssertionError):
    """The device under test is wrong, or the check was empty.

    The message is one line with the place.
    """


class DesignError(BenchError):
    """The design itself reported an error, by $error, $fatal or an assert of its own.

    `report` is the first such line, with file and line; `ended` says how the simulator's process
    failed too, "" if it did not.
    """

    def __init__(self, report: str, ended: str = ""):
        super().__init__("; ".join(filter(None, [f"the design itself reports: {report}", ended])))
        self.report, self.ended = report, ended
