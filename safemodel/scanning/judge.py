"""One file at a time: artifacts through the real gate where trust was given, everything else by the static walk."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from safemodel.arguments import requirements
from safemodel.errors import FormatError, GlobalNotAllowedError, PayloadError, VerificationError
from safemodel.format.container import INDEX, MIMETYPE
from safemodel.format.content import Content
from safemodel.format.limits import READ_SIZE
from safemodel.format.manifest import Manifest
from safemodel.format.source import Source, open_source
from safemodel.format.unverified import read_unverified
from safemodel.payload.allowance import catalogue_with, names_of
from safemodel.payload.catalogue import Catalogue
from safemodel.payload.findings import RAW
from safemodel.payload.index import decode_index
from safemodel.payload.judging import UNKNOWN, check_memory, judge_object, judge_source, judge_walk, malformed
from safemodel.payload.recognition import ARTIFACT
from safemodel.payload.ruled import RuledCatalogue
from safemodel.payload.streams import open_stream
from safemodel.payload.verdicts import (
    DANGEROUS,
    NOT_JUDGED,
    NOT_TRUSTED,
    UNCHECKED,
    UNREADABLE,
    UNSIGNED,
    VERIFIED,
    Finding,
    Verification,
)
from safemodel.payload.walk import Walk, walk_as_far_as_possible
from safemodel.trust.explanation import Explanation
from safemodel.trust.gate import admit
from safemodel.trust.loader import TRUST_VARIABLE, read_trust
from safemodel.trust.policy import TrustPolicy

_MARK_END: Final = 38 + len(MIMETYPE)  # docs/spec.md, section "Container"
_HINT: Final = "if it can be read otherwise, please report it"


@dataclass(frozen=True, slots=True)
class Judge:
    """What files are judged by.

    Attributes:
        catalogue: which globals are allowed to what nobody signed.
        policy: who may sign, or None: signatures are not checked.
        ruled: which globals are allowed to artifacts, to be put under a rule.
        hashing: whether findings get the SHA-256 of their file.
        recipe: what another process can make the same judge of; None: it cannot, since objects were given.
    """

    catalogue: Catalogue
    policy: TrustPolicy | None
    ruled: RuledCatalogue | None
    hashing: bool
    recipe: dict[str, Any] | None

    @classmethod
    def of(
        cls, *, allow: Iterable[str] | None = None, trust: Any = None, verifying: bool = True, hashing: bool = False
    ) -> Self:
        """Return the judge for what a user says.

        Args:
            allow: names of globals that are allowed too; under a trust folder only to what is no artifact.
            trust: as for `load`; None and no SAFEMODEL_TRUST: no trust.
            verifying: whether artifacts are verified, where there is trust.
            hashing: whether findings get the SHA-256 of their file.

        Raises:
            ConfigurationError, KeyMaterialError, OSError: one of them is wrong, or cannot be read.
        """
        names = names_of(allow)
        catalogue = catalogue_with(names)
        recipe = None
        if _are_paths(trust):
            recipe = {"allow": names, "trust": _paths(trust), "verifying": verifying, "hashing": hashing}
        if not verifying or (trust is None and not os.environ.get(TRUST_VARIABLE)):
            return cls(catalogue, None, None, hashing, recipe)
        policy = read_trust(trust)
        if not policy.is_reviewed:
            policy = policy.with_choices(names, None)
        # Made now, since it refuses what can never be allowed.
        return cls(catalogue, policy, RuledCatalogue.of(policy), hashing, recipe)

    @property
    def identity(self) -> list[str]:
        """What two judges of one recipe have in common, unless the trust changed between them."""
        if self.policy is None:
            return []
        keys = (key.key_id.hex() for signer in self.policy.signers for key in signer.keys.values())
        return [self.policy.digest or "", *sorted(keys)]

    def object(self, value: object) -> Finding:
        """Judge a model in memory."""
        return judge_object(value, self.catalogue)

    def file(self, path: str) -> Finding:
        """Judge a file that the user named.

        Raises:
            OSError: it cannot be read.
        """
        return self._file(path, named=True) or Finding(path, UNKNOWN, NOT_JUDGED)

    def member(self, path: str, *, named: bool) -> Finding | None:
        """Judge one of many files: whatever goes wrong with it becomes its finding; None: it is no model."""
        try:
            return self._file(path, named)
        except (OSError, MemoryError) as error:
            return unreadable(path, error)
        except Exception as error:  # a fault of ours must not hide the other files
            reason = f"judging it failed: {type(error).__name__}"
            return Finding(path, UNKNOWN, UNREADABLE, reason=reason, hint=_HINT, code="internal")

    def _file(self, path: str, named: bool) -> Finding | None:
        with open_source(path) as source:
            finding = self._source(source, path, named)
            if finding is None or not self.hashing:
                return finding
            return replace(finding, sha256=_sha256(source))

    def _source(self, source: Source, path: str, named: bool) -> Finding | None:
        if self.policy is not None and self.ruled is not None and _is_artifact(source):
            return self._artifact(source, path, self.policy, self.ruled)
        return judge_source(source, path, self.catalogue, named=named)

    def _artifact(self, source: Source, path: str, policy: TrustPolicy, ruled: RuledCatalogue) -> Finding:
        try:
            check_memory(source.size, path)
            admission = admit(source, read_unverified(source), requirements(path, policy, None, ruled))
            walked, failure = _walked(admission.manifest, admission.content)
        except (FormatError, PayloadError) as error:
            return replace(malformed(ARTIFACT, error), path=path)
        except VerificationError as error:
            return self._refused(source, path, ruled, error)
        found = admission.explanation
        catalogue = ruled.under(found.rule, policy.path).catalogue
        finding = replace(judge_walk(walked, catalogue, ARTIFACT, failure), path=path)
        if finding.verdict != UNSIGNED:
            return finding
        return replace(finding, verdict=VERIFIED, verification=_verification(found))

    def _refused(self, source: Source, path: str, ruled: RuledCatalogue, error: VerificationError) -> Finding:
        """Say why the gate refuses an artifact; what it reaches for is worse news than who signed it."""
        explanation = error.explanation
        catalogue = self.catalogue
        if isinstance(explanation, Explanation) and explanation.model is not None:
            catalogue = ruled.under(explanation.rule, explanation.policy.path).catalogue
        finding = judge_source(source, path, catalogue, named=True)
        if finding is not None and finding.verdict not in (UNCHECKED, UNSIGNED):
            return replace(finding, code=finding.code or error.code)
        verdict = DANGEROUS if isinstance(error, GlobalNotAllowedError) else NOT_TRUSTED
        uses = () if finding is None else finding.globals
        reason = str(error.args[0]).removesuffix(f": {path}")
        return Finding(path, ARTIFACT, verdict, uses, reason=reason, hint=error.hint, code=error.code)


def _are_paths(trust: Any) -> bool:
    items = trust if isinstance(trust, list | tuple) else [trust]
    return trust is None or all(isinstance(item, str | os.PathLike) for item in items)


def _paths(trust: Any) -> list[str] | None:
    items = trust if isinstance(trust, list | tuple) else [trust]
    return None if trust is None else [os.fsdecode(item) for item in items]


def unreadable(path: str, error: OSError | MemoryError) -> Finding:
    """Return the finding for a file or folder that the system does not let us read."""
    reason = (error.strerror if isinstance(error, OSError) else None) or "not enough memory"
    return Finding(path, UNKNOWN, UNREADABLE, reason=reason[:1].lower() + reason[1:], code="io")


def _walked(manifest: Manifest, content: Content) -> tuple[Walk, PayloadError | FormatError | None]:
    """Walk verified bytes, where a loader would unpickle them, and hold them to what was signed."""
    described = manifest.payload
    regions = decode_index(bytes(content.read(INDEX)), described.raw_size)
    arrays = [(each.start, each.start + each.size) for each in regions if each.kind == RAW]
    payload = content.check_with_opcodes(arrays if described.compression == "none" else ())
    stream, compression = open_stream(payload, size=described.raw_size)
    walked, failure = walk_as_far_as_possible(stream)
    signed = {(use.module, use.name): set(use.roles) for use in described.globals}
    hidden = any(not signed.get((use.module, use.name), set()).issuperset(use.roles) for use in walked.globals)
    if hidden or compression != described.compression or walked.regions != regions:
        failure = failure or PayloadError("the payload holds more than its signed manifest lists")
    return walked, failure


def _is_artifact(source: Source) -> bool:
    return source.read(0, min(source.size, _MARK_END)).endswith(MIMETYPE)


def _verification(found: Explanation) -> Verification:
    reviewed = found.policy.is_reviewed
    signers = tuple(dict.fromkeys(signed.signer if reviewed else signed.key_id for signed in found.signers))
    rule = found.rule.number if reviewed else None
    return Verification(found.model or "", found.version, found.artifact, signers, rule, found.signatures.warnings)


def _sha256(source: Source) -> str:
    digest = hashlib.sha256()
    for offset in range(0, source.size, READ_SIZE):
        digest.update(source.read(offset, min(READ_SIZE, source.size - offset)))
    return digest.hexdigest()
