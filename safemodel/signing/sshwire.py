"""The SSH wire encoding (RFC 4251, section 5), as far as keys and an agent need it.

Lengths are checked against the bytes that are there before anything is taken. What is wrong is a ValueError: the caller
knows whether a key file or an agent is to blame.
"""

from dataclasses import dataclass


def encode_string(data: bytes) -> bytes:
    """Return the bytes with their length before them."""
    return len(data).to_bytes(4, "big") + data


@dataclass(slots=True)
class Reader:
    """Takes one field after the other.

    Attributes:
        data: all fields.
        position: where the next one starts.
    """

    data: bytes
    position: int = 0

    def take(self, size: int) -> bytes:
        """Return as many bytes; ValueError if there are fewer."""
        end = self.position + size
        if end > len(self.data):
            raise ValueError(f"a field of {size} bytes reaches past the end")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def uint32(self) -> int:
        """Return an integer of four bytes."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """Return bytes that stand behind their length."""
        return self.take(self.uint32())

    def name(self) -> str:
        """Return a string that names something; ValueError if it is not ASCII."""
        return self.string().decode("ascii")

    def mpint(self) -> int:
        """Return an integer in two's complement."""
        return int.from_bytes(self.string(), "big", signed=True)

    def end(self) -> None:
        """Check that nothing is left; ValueError if there is."""
        if self.position != len(self.data):
            raise ValueError(f"{len(self.data) - self.position} bytes are left over")
