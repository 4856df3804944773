"""What is described: an artifact, and who vouches for what it says."""

from dataclasses import dataclass
from typing import Self

from safemodel.format.container import Layout
from safemodel.format.manifest import Manifest
from safemodel.format.unverified import UnverifiedArtifact
from safemodel.trust.gate import VerifiedArtifact


@dataclass(frozen=True, slots=True)
class Voucher:
    """Who signed, as a line each: those who count, or those who are said to have."""

    signers: tuple[str, ...]
    verified: bool = False
    grounds: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """An artifact to be described.

    Attributes:
        file: what the user calls it.
        digest: the artifact's digest, 64 hexadecimal digits.
        unlisted: the globals that the catalogue does not list, which a loader has to allow.
    """

    file: str
    manifest: Manifest
    digest: str
    layout: Layout
    voucher: Voucher
    unlisted: tuple[str, ...] = ()

    @classmethod
    def of_unverified(cls, file: str, artifact: UnverifiedArtifact, unlisted: tuple[str, ...] = ()) -> Self:
        """Describe what nobody has checked.

        Raises:
            FormatError: the manifest is malformed.
        """
        voucher = Voucher(tuple(f"key {key_id}" for key_id in artifact.key_ids))
        return cls(file, artifact.manifest, artifact.digest, artifact.layout, voucher, unlisted)

    @classmethod
    def of_verified(cls, file: str, artifact: VerifiedArtifact, unlisted: tuple[str, ...] = ()) -> Self:
        """Describe what passed the gate."""
        reviewed = artifact.policy.is_reviewed
        keys = [(f"{signed.algorithm} key {signed.key_id}", signed.signer) for signed in artifact.signers]
        signers = tuple(f"{signer}, {key}" if reviewed else key for key, signer in keys)
        grounds = (("rule", str(artifact.rule)), ("policy", str(artifact.policy))) if reviewed else ()
        warnings = tuple(("warning", text) for text in artifact.warnings)
        voucher = Voucher(signers, verified=True, grounds=(*grounds, *warnings))
        return cls(file, artifact.manifest, artifact.digest, artifact.layout, voucher, unlisted)
