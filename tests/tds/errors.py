"""What the server says when it refuses."""


class SqlError(Exception):
    """A number and a sentence. Some end the batch and, as in SQL Server, the transaction with it."""

    def __init__(self, number, message, severity=16, ends_batch=False):
        super().__init__(message)
        self.number, self.message, self.severity, self.ends_batch = number, message, severity, ends_batch
