"""A reason to refuse, as a value; an exception is made of it only when it is raised."""

from dataclasses import dataclass
from typing import Self

from safemodel.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason to refuse an artifact.

    Attributes:
        kind: the class of the error.
        message: what was expected and what was found.
        hint: what to do next.
    """

    kind: type[VerificationError]
    message: str
    hint: str

    @classmethod
    def of(cls, error: VerificationError) -> Self:
        """Keep what an error says, without its traceback."""
        return cls(type(error), error.args[0], error.hint)

    @property
    def code(self) -> str:
        """The stable string of the error's class."""
        return self.kind.code

    def to_error(self) -> VerificationError:
        """Return the error."""
        return self.kind(self.message, hint=self.hint)
