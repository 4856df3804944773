"""The gate: an artifact comes out verified, or not at all (docs/spec.md, section "Reading", steps 1 to 5).

It takes an opened source and values, and the order of its steps is the order of the spec. Nothing is unpickled here; a
`VerifiedArtifact` carries the function that can, and the one that reads its example; only the gate makes one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self

from safemodel.format.container import INDEX, Layout
from safemodel.format.content import PAYLOAD_NUMBER, Content, Progress
from safemodel.format.envelope import artifact_digest
from safemodel.format.manifest import Manifest
from safemodel.format.source import Source
from safemodel.format.unverified import UnverifiedArtifact, read_unverified
from safemodel.trust.decision import Catalogue, Requirements, compared, decide, judge
from safemodel.trust.explanation import Explanation, SignedBy
from safemodel.trust.policy import WALKED_ROLES, Rule, TrustPolicy

if TYPE_CHECKING:
    from safemodel.trust.reproduction import Reproduction

Unpickle = Callable[[Catalogue, bool, Manifest, memoryview, bytes], Any]


class Example(Protocol):
    """Inputs and what the model gave for them when it was signed."""

    def reproduced_by(self, model: Any, tolerance: float | None = None) -> "Reproduction":
        """Run a model on the inputs, and compare."""
        ...


ReadExample = Callable[[Mapping[str, Any], Callable[[str, int], bytes]], Example]


@dataclass(frozen=True, slots=True)
class Admission:
    """Steps 1 to 4 passed: the manifest is believed, and its chunks are still to be hashed.

    Attributes:
        explanation: the decision, with its grounds.
        catalogue: which globals it may reach for, under the rule that it is under.
        content: what the manifest describes.
        requirements: what was demanded.
    """

    explanation: Explanation
    catalogue: Catalogue
    content: Content
    requirements: Requirements

    @property
    def manifest(self) -> Manifest:
        """The signed manifest."""
        return self.content.manifest


class VerifiedArtifact:
    """An artifact that passed the gate, holding its file open; a context manager.

    Attributes:
        manifest: the signed manifest.
        signers: the keys whose signatures count, and whose they are.
        digest: the artifact's digest, SHA-256 of the manifest's bytes, 64 hexadecimal digits.
        warnings: what the user should know, such as a stale `.sig` file.
        policy: what decided.
        rule: the rule that the artifact is under.
        explanation: the decision, with its grounds.
        layout: the container's structure.
    """

    manifest: Manifest
    signers: tuple[SignedBy, ...]
    digest: str
    warnings: tuple[str, ...]
    policy: TrustPolicy
    rule: Rule
    explanation: Explanation
    layout: Layout

    def __init__(self, gate: object, admission: Admission, unpickle: Unpickle, read_example: ReadExample) -> None:
        if gate is not _GATE:
            raise TypeError("only the gate makes a VerifiedArtifact; call safemodel.verify")
        self.manifest = admission.manifest
        self.signers = admission.explanation.signers
        self.digest = admission.explanation.artifact
        self.warnings = admission.explanation.signatures.warnings
        self.policy = admission.explanation.policy
        self.rule = admission.explanation.rule
        self.explanation = admission.explanation
        self.layout = admission.content.layout
        self._catalogue = admission.catalogue
        self._content = admission.content
        self._requirements = admission.requirements
        self._unpickle = unpickle
        self._read_example = read_example

    def load(self, *, progress: Progress | None = None) -> Any:
        """Read the payload into private memory, check its digests there, and unpickle it from there.

        Args:
            progress: called with (bytes done, bytes in all).

        Returns:
            The model.

        Raises:
            EnvironmentMismatchError: other versions are installed than were signed, and the rule refuses that.
            DigestMismatchError: the file was changed since it was verified.
            PayloadError: the payload cannot be unpickled under the rules.
        """
        if not self._requirements.comparing:
            warn_of(compared(self.explanation, self.manifest, self._requirements).check())
        payload = self._content.read(self._content.layout.entries[PAYLOAD_NUMBER].name, progress=progress)
        return self._load_from(payload, self._content.read(INDEX))

    def requirements(self) -> list[str]:
        """Return what pip takes to install what the model and its example were made with: `scikit-learn==1.6.1`."""
        from safemodel.trust.environment import requirements_of  # late: most load, and do not ask

        return requirements_of(self.manifest.environment, self.manifest.example)

    def reproduce(self, *, tolerance: float | None = None, progress: Progress | None = None) -> "Reproduction":
        """Load the model, and run it on the inputs of its example.

        The inputs and what the model gave for them are signed with it (`dump(..., example=X)`).

        Args:
            tolerance: the largest relative difference of floating-point numbers that counts as the same; None stands
                for the signed one.
            progress: called with (bytes done, bytes in all).

        Returns:
            What differs, method by method; also a model that fails is a difference.

        Raises:
            PolicyError: the artifact holds no example.
            DigestMismatchError: the file was changed since it was verified.
            FormatError: the example is malformed; nothing was unpickled.
            PayloadError: the payload cannot be unpickled under the rules, or the example cannot be read here.
            ConfigurationError: the tolerance is none.
        """
        example = self._example()
        return example.reproduced_by(self.load(progress=progress), tolerance)

    def _example(self) -> Example:
        return self._read_example(self.manifest.example, self._content.attachment)

    def _load_from(self, payload: memoryview, index: memoryview) -> Any:
        walking = self.rule.roles == WALKED_ROLES
        return self._unpickle(self._catalogue, walking, self.manifest, payload, bytes(index))

    def close(self) -> None:
        """Close the file."""
        self._content.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<VerifiedArtifact {self.manifest.name} {self.manifest.version or '(no version)'} {self.digest[:16]}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:  # copy.copy and copy.deepcopy come here too
        raise TypeError("a VerifiedArtifact cannot be copied or pickled; verify the file again")


_GATE = object()


def admit(source: Source, unverified: UnverifiedArtifact, requirements: Requirements) -> Admission:
    """Decide whether the manifest is believed (steps 2 to 4); no chunk is read yet.

    Args:
        source: the artifact, opened once.
        unverified: what step 1 read from it; nothing of that is read again, since the file may change meanwhile.
        requirements: what the verifier demands.

    Raises:
        FormatError: not a canonical artifact.
        VerificationError: it must not be loaded.
    """
    digest = artifact_digest(unverified.manifest_bytes)
    judged = judge(digest, unverified.signatures, requirements).check()  # step 2
    content = Content.of(source, unverified)  # step 3: the manifest is parsed only now
    decision = decide(judged, content.manifest, requirements).check()  # step 4
    catalogue = requirements.catalogue.under(decision.rule, requirements.policy.path)
    return Admission(decision, catalogue, content, requirements)


def warn_of(decision: Explanation) -> None:
    """Warn of other versions than were signed, before anything is unpickled."""
    if decision.differences:
        from safemodel.trust.mismatch import warn  # late: most often nothing differs

        warn(decision)


def verify_source(
    source: Source,
    requirements: Requirements,
    unpickle: Unpickle,
    read_example: ReadExample,
    *,
    progress: Progress | None = None,
) -> VerifiedArtifact:
    """Verify everything, keeping nothing of the payload (steps 1 to 5).

    Args:
        source: the artifact, opened once; the result holds it.
        requirements: what the verifier demands.
        unpickle: what `VerifiedArtifact.load` calls with the catalogue under the rule, whether the payload is walked
            too, manifest, payload memory and index.
        read_example: what `VerifiedArtifact.reproduce` calls with the manifest's map `example`, and a function that
            returns an attachment by its name and largest size.
        progress: called with (bytes done, bytes in all).

    Returns:
        The verified artifact.

    Raises:
        FormatError: not a canonical artifact.
        VerificationError: it must not be loaded.
    """
    admission = admit(source, read_unverified(source), requirements)
    warn_of(admission.explanation)
    admission.content.check(progress=progress)
    return VerifiedArtifact(_GATE, admission, unpickle, read_example)


def load_source(
    source: Source,
    requirements: Requirements,
    unpickle: Unpickle,
    read_example: ReadExample,
    *,
    reproduce: bool = False,
    progress: Progress | None = None,
) -> tuple[VerifiedArtifact, Any]:
    """Verify everything and unpickle, reading the payload once (steps 1 to 6).

    Args and errors are those of `verify_source`; the second value returned is the model.

    Args:
        reproduce: whether the model must predict what it predicted; its example is read before anything is unpickled.

    Raises:
        DriftError: it predicts something else.
    """
    admission = admit(source, read_unverified(source), requirements)
    warn_of(admission.explanation)
    payload, index = admission.content.check_with_payload(progress=progress)
    artifact = VerifiedArtifact(_GATE, admission, unpickle, read_example)
    example = artifact._example() if reproduce else None
    value = artifact._load_from(payload, index)
    if example is not None:
        example.reproduced_by(value).check()
    return artifact, value
