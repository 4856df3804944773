"""Each refusal of docs/trust.md, of a real artifact by a real folder: its class, its grounds, and nothing unpickled."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import safemodel
from safemodel.countersigning import add_signatures
from safemodel.errors import ConfigurationError, VerificationError
from safemodel.format.envelope import SignatureRecord, SignatureSet
from safemodel.format.manifest import Counts, GlobalReference, Payload
from safemodel.format.source import open_source
from safemodel.format.unverified import read_unverified
from safemodel.format.writer import replace_signatures
from safemodel.trust.explanation import Explanation
from safemodel.trust.loader import read_folder
from safemodel.trust.policy import TrustPolicy
from safemodel.trust.refusal import Refusal
from safemodel.trust.signatures import Fate

NOW = int(time.time())
DAY = 86400
NAMES = ("alice", "alice-2", "bob", "carol", "ci", "stranger")
POLICY = """
version = 7
[signers.alice]
keys = ["alice.pub", "alice-2.pub"]
[signers.bob]
keys = ["bob.pub"]
[signers.carol]
keys = ["carol.pub"]
[signers.ci]
keys = ["ci.pub"]

[[rules]]
models = ["acme/staging/*"]
signers = ["ci"]

[[rules]]
models = ["acme/*"]
signers = ["alice", "bob", "carol"]
threshold = 2
"""
PRODUCTION = "acme/churn"


@dataclass(frozen=True)
class Store:
    """A trust folder whose signers' private keys are at hand, and artifacts that they sign."""

    folder: Path
    private: dict[str, Path]
    forge: Callable[..., Path]

    def key_id(self, name: str) -> str:
        return safemodel.load_signer(self.private[name]).key_id.hex()

    def write(self, text: str = POLICY) -> None:
        (self.folder / "trust.toml").write_text(text)

    def add(self, lines: str) -> None:
        """Append to the last table."""
        with (self.folder / "trust.toml").open("a") as file:
            file.write(f"{lines}\n")

    def limit(self, signer: str, lines: str) -> None:
        text = (self.folder / "trust.toml").read_text()
        self.write(text.replace(f"[signers.{signer}]", f"[signers.{signer}]\n{lines}"))

    def revoke(self, line: str) -> None:
        self.add(f'[[revoked]]\n{line}\ndate = 2999-01-01\nreason = "stolen"')

    def artifact(self, *signers: str, name: str = PRODUCTION, **claims: Any) -> Path:
        return self.forge(keys=[self.private[signer] for signer in signers], name=name, **claims)


Case: TypeAlias = Callable[[Store], Path]
CASES: dict[str, Case] = {}


def case(row: str) -> Callable[[Case], Case]:
    def keep(function: Case) -> Case:
        CASES[row] = function
        return function

    return keep


@pytest.fixture(scope="module")
def private(make_key: Callable[..., Any]) -> dict[str, Any]:
    return {name: make_key("ecdsa-p256-sha256" if name == "bob" else "ed25519") for name in NAMES}


@pytest.fixture
def store(tmp_path: Path, private: dict[str, Any], forge: Callable[..., Path]) -> Store:
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, pair in private.items():
        (folder / f"{name}.pub").write_bytes(pair.public.read_bytes())
    made = Store(folder, {name: pair.private for name, pair in private.items()}, forge)
    made.write()
    return made


def reaching_for(module: str, name: str) -> Payload:
    return Payload("joblib", "1.2", "none", 7, (GlobalReference(module, name, ("call",)),), Counts(1, 0, 0, 1))


def rewrite(path: Path, change: Callable[[SignatureSet], SignatureSet]) -> None:
    """Change the records of an artifact, which nothing signed fixes."""
    with path.open("r+b") as file:
        unverified = read_unverified(open_source(file))
        replace_signatures(file, unverified.layout, change(unverified.signatures))


# The rows.


@case("signed by no listed key")
def _(store: Store) -> Path:
    return store.artifact("stranger")


@case("with a bad signature by a listed key")
def _(store: Store) -> Path:
    path = store.artifact("alice", "bob")
    signer = safemodel.load_signer(store.private["ci"])
    bad = SignatureRecord(signer.key_id, signer.sign(b"something else"))
    rewrite(path, lambda present: SignatureSet.of([*present.records, bad]))
    return path


@case("signed with revoked keys only")
def _(store: Store) -> Path:
    store.revoke(f'key = "{store.key_id("alice")}"')
    return store.artifact("alice")


@case("signed with keys that are not valid yet")
def _(store: Store) -> Path:
    store.limit("alice", "valid_from = 2999-01-01")
    return store.artifact("alice")


@case("signed with keys that are no longer valid")
def _(store: Store) -> Path:
    store.limit("alice", "valid_until = 2001-01-01")
    return store.artifact("alice")


@case("of another model than was asked for")
def _(store: Store) -> Path:
    return store.artifact("alice", "bob", name="acme/fraud")


@case("that no rule is for")
def _(store: Store) -> Path:
    return store.artifact("alice", "bob", name="other/churn")


@case("signed by people whom the rule does not name")
def _(store: Store) -> Path:
    return store.artifact("ci")


@case("signed by fewer people than the threshold")
def _(store: Store) -> Path:
    return store.artifact("alice", "ci", "stranger")


@case("whose signatures were stripped below the threshold")
def _(store: Store) -> Path:
    path = store.artifact("alice", "bob")
    rewrite(path, lambda present: SignatureSet(present.records[:1]))
    return path


@case("that one person signed with two keys, for a threshold of two")
def _(store: Store) -> Path:
    return store.artifact("alice", "alice-2")


@case("that a required signer did not sign")
def _(store: Store) -> Path:
    store.add('require = ["carol"]')
    return store.artifact("alice", "bob")


@case("that a revoked signer signed, among others")
def _(store: Store) -> Path:
    store.revoke('signer = "bob"')
    return store.artifact("alice", "bob")


@case("that a signer signed whose keys are no longer valid, among others")
def _(store: Store) -> Path:
    store.limit("bob", "valid_until = 2001-01-01")
    return store.artifact("alice", "bob")


@case("older than the lowest version")
def _(store: Store) -> Path:
    store.add('min_version = "1.4.1"')
    return store.artifact("alice", "bob", version="1.4.1rc1")


@case("without a version, where there is a lowest")
def _(store: Store) -> Path:
    store.add('min_version = "0"')
    return store.artifact("alice", "bob", version=None)


@case("created too many days ago")
def _(store: Store) -> Path:
    store.add("max_age_days = 30")
    return store.artifact("alice", "bob", created=NOW - 30 * DAY)


@case("created in the future")
def _(store: Store) -> Path:
    return store.artifact("alice", "bob", created=NOW + 3600)


@case("that has expired")
def _(store: Store) -> Path:
    return store.artifact("alice", "bob", expires=NOW)


@case("that is revoked itself")
def _(store: Store) -> Path:
    path = store.artifact("alice", "bob")
    store.revoke(f'artifact = "{safemodel.inspect(path).digest}"')
    return path


@case("with digests of another algorithm")
def _(store: Store) -> Path:
    store.add('digests = ["sha256"]')
    return store.artifact("alice", "bob")


@case("that reaches for code that nothing allows")
def _(store: Store) -> Path:
    return store.artifact("alice", "bob", description=reaching_for("acme.transformers", "Clip"))


@case("that reaches for code that is denied")
def _(store: Store) -> Path:
    store.add('allow = ["acme.transformers.Clip"]\ndeny = ["acme.transformers.Clip"]')
    return store.artifact("alice", "bob", description=reaching_for("acme.transformers", "Clip"))


@case("made with other versions than are accepted")
def _(store: Store) -> Path:
    store.add('environment = "error"')
    return store.artifact("alice", "bob", environment={"distributions": {"numpy": "1!1.0"}})


@case("that does not say what it was made with")
def _(store: Store) -> Path:
    store.add('environment = "error"')
    return store.artifact("alice", "bob")


ROW = re.compile(r"^\| ([^|]+) \| `([a-z-]+)` \| (yes|no) \| [^|]+ \|$", re.MULTILINE)
TABLE = ROW.findall((Path(__file__).parents[2] / "docs" / "trust.md").read_text(encoding="utf-8"))


def test_the_table_is_complete() -> None:
    assert [row for row, _, _ in TABLE] == list(CASES)


@pytest.mark.parametrize(("row", "code", "names_rule"), TABLE)
def test_each_refusal_says_where_it_comes_from(
    row: str, code: str, names_rule: str, store: Store, canary: list[str]
) -> None:
    path = CASES[row](store)
    with pytest.raises(VerificationError) as caught:
        safemodel.load(path, trust=store.folder, name="other/churn" if "no rule" in row else PRODUCTION)
    assert caught.value.code == code
    place = str(store.folder / "trust.toml")
    assert f"({place}, rule " in str(caught.value) if names_rule == "yes" else f"({place})" in str(caught.value)
    assert caught.value.hint
    assert canary == []
    assert_explained(caught.value, store)


def assert_explained(error: VerificationError, store: Store) -> None:
    """The grounds are those of the refusal, and say what became of each signature."""
    found = error.explanation
    assert isinstance(found, Explanation)
    assert found.refusals[0] == Refusal(type(error), error.args[0], error.hint)
    value = found.to_value()
    assert value["policy"] == {"path": str(store.folder / "trust.toml"), "version": 7, "digest": found.policy.digest}
    assert value["refusals"][0] == {"code": error.code, "message": error.args[0], "hint": error.hint}
    assert len(value["signatures"]) == len(found.signatures.records) > 0
    labels = [label for label, _ in found.rows()]
    assert labels[:2] == ["policy", "model"]
    assert labels.count("refused") == labels.count("to change") == len(found.refusals)


# What is accepted, and what lies between.


def accepted(path: Path, trust: Any, name: Any = PRODUCTION) -> list[str]:
    with safemodel.verify(path, trust=trust, name=name) as artifact:
        return [signed.signer for signed in artifact.signers]


def test_two_people_are_accepted_and_told(store: Store) -> None:
    path = store.artifact("alice", "bob", "ci", "stranger")
    with safemodel.verify(path, trust=store.folder, name=PRODUCTION) as artifact:
        assert {signed.signer for signed in artifact.signers} == {"alice", "bob"}
        assert artifact.rule.number == 2
        assert artifact.policy.version == 7
        text = dict(artifact.explanation.rows())
        fates = {record.signer: record.fate for record in artifact.explanation.signatures.records}
    assert fates == {"alice": Fate.GOOD, "bob": Fate.GOOD, "ci": Fate.GOOD, "": Fate.UNKNOWN}
    assert text["rule"] == "2, for acme/*: 2 of alice, bob, carol"


def test_staging_stays_out_of_production(store: Store, canary: list[str]) -> None:
    staged = store.artifact("ci", name="acme/staging/churn")
    assert accepted(staged, store.folder, "acme/staging/churn") == ["ci"]
    for path in (staged, store.artifact("ci", name=PRODUCTION)):
        with pytest.raises(VerificationError):
            safemodel.load(path, trust=store.folder, name=PRODUCTION)
    with pytest.raises(safemodel.NoTrustedSignatureError):
        safemodel.load(
            store.artifact("alice", "bob", name="acme/staging/churn"), trust=store.folder, name=safemodel.ANY_NAME
        )
    assert canary == []


def test_both_keys_of_a_signer_count_while_one_replaces_the_other(store: Store) -> None:
    for key in ("alice", "alice-2"):
        assert set(accepted(store.artifact(key, "bob"), store.folder)) == {"alice", "bob"}


def test_a_signature_by_an_unknown_key_beside_good_ones_is_nothing(store: Store) -> None:
    assert len(accepted(store.artifact("stranger", "alice", "bob"), store.folder)) == 2


def test_a_bad_signature_spoils_good_ones_also_where_its_key_is_revoked(store: Store) -> None:
    path = CASES["with a bad signature by a listed key"](store)
    store.revoke('signer = "ci"')
    with pytest.raises(safemodel.SignatureMismatchError):
        safemodel.verify(path, trust=store.folder, name=PRODUCTION)


def test_a_revocation_has_no_clock(store: Store) -> None:
    """Its date is a thousand years ahead, and it holds."""
    store.revoke(f'key = "{store.key_id("alice")}"')
    with pytest.raises(safemodel.RevokedError):
        safemodel.verify(store.artifact("alice", "bob"), trust=store.folder, name=PRODUCTION)
    assert set(accepted(store.artifact("alice-2", "bob"), store.folder)) == {"alice", "bob"}


@pytest.mark.parametrize(("version", "floor"), [("1.4.0", "1.4"), ("1.10.0", "1.9.0"), ("2.0rc1", "2.0.dev1")])
def test_versions_are_ordered_as_pep_440_does(version: str, floor: str, store: Store) -> None:
    store.add(f'min_version = "{floor}"')
    assert accepted(store.artifact("alice", "bob", version=version), store.folder)


def test_validity_is_from_a_moment_on_up_to_another(store: Store) -> None:
    store.limit("alice", "valid_from = 2026-01-01\nvalid_until = 2027-01-01")
    policy = read_folder(store.folder)
    artifact = safemodel.inspect(store.artifact("alice", "bob", created=0))

    def fate(now: int) -> Fate:
        records = policy.explain(artifact, now=now).signatures.records
        return next(record.fate for record in records if record.signer == "alice")

    start, end = 1767225600, 1798761600
    assert [fate(now) for now in (start - 1, start, end - 1, end)] == [
        Fate.NOT_YET_VALID,
        Fate.GOOD,
        Fate.GOOD,
        Fate.NO_LONGER_VALID,
    ]


def test_age_ends_with_the_last_second(store: Store) -> None:
    store.add("max_age_days = 30")
    policy = read_folder(store.folder)
    artifact = safemodel.inspect(store.artifact("alice", "bob", created=NOW))
    codes = [[each.code for each in policy.explain(artifact, now=NOW + 30 * DAY + late).refusals] for late in (-1, 0)]
    assert codes == [[], ["expired"]]


def test_every_reason_is_told_at_once(store: Store) -> None:
    store.add('min_version = "2"\ndigests = ["sha256"]\nmax_age_days = 1')
    path = store.artifact("alice", created=NOW - 9 * DAY, expires=NOW - DAY)
    store.revoke(f'artifact = "{safemodel.inspect(path).digest}"')
    found = read_folder(store.folder).explain(safemodel.inspect(path), now=NOW, name="acme/fraud")
    assert [refusal.code for refusal in found.refusals] == [
        "name-mismatch",
        "threshold-not-met",
        "rollback",
        "expired",
        "expired",
        "revoked",
        "algorithm-not-allowed",
    ]


def test_the_manifest_is_not_read_where_no_signature_counts(store: Store) -> None:
    found = read_folder(store.folder).explain(safemodel.inspect(store.artifact("stranger", name="acme/x")), now=NOW)
    assert (found.model, found.version, found.rule.number) == (None, None, 0)
    assert dict(found.rows())["model"].startswith("not read")
    assert found.to_value()["rule"] is None


def test_detached_signatures_count_with_those_inside(store: Store) -> None:
    path = store.artifact("alice")
    safemodel.sign(path, key=store.private["bob"], trust=store.folder, name=PRODUCTION, detached=True)
    assert set(accepted(path, store.folder)) == {"alice", "bob"}
    found = safemodel.verify(path, trust=store.folder, name=PRODUCTION)
    with found:
        assert [label for label, text in found.explanation.rows() if text.startswith("detached")] == ["signature"]


# What a folder allows, and what callers may add.


def test_a_rule_allows_exact_names(store: Store) -> None:
    store.add('allow = ["acme.transformers.Clip"]')
    path = store.artifact("alice", "bob", description=reaching_for("acme.transformers", "Clip"))
    with safemodel.verify(path, trust=store.folder, name=PRODUCTION) as artifact:
        assert ("acme.transformers", "Clip") in artifact._catalogue.permissions


def test_deny_beats_the_catalogue_under_every_name_of_the_same_thing(store: Store) -> None:
    path = store.artifact("alice", "bob", description=reaching_for("numpy.core.multiarray", "_reconstruct"))
    assert accepted(path, store.folder)
    store.add('deny = ["numpy._core.multiarray._reconstruct"]')
    with pytest.raises(safemodel.GlobalNotAllowedError, match="denied"):
        safemodel.verify(path, trust=store.folder, name=PRODUCTION)


def test_what_is_never_allowed_makes_the_policy_no_good(store: Store) -> None:
    path = store.artifact("alice", "bob")
    store.add('allow = ["os.system"]')
    with pytest.raises(ConfigurationError, match="rule 2"):
        safemodel.verify(path, trust=store.folder, name=PRODUCTION)


@pytest.mark.parametrize(("module", "name"), [("os", "system"), ("acme.transformers", "Clip")])
def test_a_rule_is_advised_to_allow_only_what_can_be_allowed(module: str, name: str, store: Store) -> None:
    path = store.artifact("alice", "bob", description=reaching_for(module, name))
    with pytest.raises(safemodel.GlobalNotAllowedError) as refused:
        safemodel.verify(path, trust=store.folder, name=PRODUCTION)
    assert ("safemodel trust allow" in refused.value.hint) == (module != "os")


def test_nobody_widens_a_folder_from_outside(store: Store, tmp_path: Path) -> None:
    path = store.artifact("alice", "bob")
    policy = read_folder(store.folder)
    for trust in (store.folder, policy):
        for refuse in (
            lambda: safemodel.load(path, trust=trust, name=PRODUCTION, allow=["acme.transformers.Clip"]),  # noqa: B023
            lambda: safemodel.load(path, trust=trust, name=PRODUCTION, allow="acme.transformers.Clip"),  # noqa: B023
            lambda: safemodel.load(path, trust=trust, name=PRODUCTION, roles="manifest"),  # noqa: B023
            lambda: safemodel.verify(path, trust=trust, name=PRODUCTION, roles="walk"),  # noqa: B023
            lambda: safemodel.extract(path, tmp_path / "out", trust=trust, name=PRODUCTION, allow=["a.b"]),  # noqa: B023
        ):
            with pytest.raises(ConfigurationError):
                refuse()


def test_bare_keys_take_what_callers_allow(store: Store, private: dict[str, Any]) -> None:
    path = store.artifact("alice", description=reaching_for("acme.transformers", "Clip"))
    policy = TrustPolicy.from_keys([safemodel.load_verifying_key(private["alice"].public)])
    for trust in (policy, private["alice"].public):
        with safemodel.verify(
            path, trust=trust, name=PRODUCTION, allow=["acme.transformers.Clip"], roles="walk"
        ) as found:
            assert (found.rule.roles, found.policy.to_value(), str(found.policy)) == ("walk", None, "the given keys")


def test_a_rule_has_the_payload_walked(store: Store, canary: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from safemodel import artifact as artifact_module

    walked: list[bool] = []
    monkeypatch.setattr(artifact_module, "_unpickle", lambda catalogue, walking, *rest: walked.append(walking))
    path = store.artifact("alice", "bob")
    safemodel.load(path, trust=store.folder, name=PRODUCTION)
    store.add('roles = "walk"')
    safemodel.load(path, trust=store.folder, name=PRODUCTION)
    assert walked == [False, True]


# Countersigning under a policy.


def test_the_second_of_two_signs_what_the_first_has_signed(store: Store) -> None:
    path = store.artifact("alice")
    with pytest.raises(safemodel.ThresholdNotMetError):
        safemodel.verify(path, trust=store.folder, name=PRODUCTION)
    safemodel.sign(path, key=store.private["bob"], trust=store.folder, name=PRODUCTION)
    assert set(accepted(path, store.folder)) == {"alice", "bob"}
    with pytest.raises(safemodel.SigningError):
        safemodel.sign(path, key=store.private["bob"], trust=store.folder, name=PRODUCTION)


def test_nobody_countersigns_what_the_rule_would_refuse_anyway(store: Store) -> None:
    store.add('min_version = "9"\nrequire = ["carol"]')
    old = store.artifact("alice")
    with pytest.raises(safemodel.RollbackError):
        safemodel.sign(old, key=store.private["bob"], trust=store.folder, name=PRODUCTION)
    foreign = store.artifact("ci", version="9")
    with pytest.raises(safemodel.NoTrustedSignatureError):
        safemodel.sign(foreign, key=store.private["bob"], trust=store.folder, name=PRODUCTION)


def test_sixteen_signatures_inside_and_beside_and_no_more(store: Store, make_key: Callable[..., Any]) -> None:
    path = store.artifact("alice", "bob")
    others = [safemodel.load_signer(make_key().private) for _ in range(15)]
    digest = bytes.fromhex(safemodel.inspect(path).digest)
    rewrite(path, lambda present: add_signatures(present, others[:13], digest))
    for number, signer in enumerate(others[13:], 16):
        safemodel.sign(path, key=signer, digest=digest.hex(), detached=True)
        if number == 16:
            assert len(accepted(path, store.folder)) == 2
    with pytest.raises(safemodel.LimitExceededError):
        safemodel.verify(path, trust=store.folder, name=PRODUCTION)


# Log records.


def test_every_decision_is_recorded_with_its_policy(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "safemodel")
    policy = read_folder(store.folder)
    accepted(store.artifact("alice", "bob"), store.folder)
    with pytest.raises(VerificationError):
        safemodel.verify(store.artifact("alice"), trust=store.folder, name=PRODUCTION)
    with pytest.raises(safemodel.FormatError):
        safemodel.verify(store.folder / "alice.pub", trust=store.folder, name=PRODUCTION)
    good, refused, malformed = (record.__dict__["safemodel"] for record in caplog.records)
    for details in (good, refused, malformed):
        assert (details["policy_version"], details["policy_digest"]) == (7, policy.digest)
    assert (good["outcome"], good["rule"], len(good["signers"])) == ("verified", 2, 2)
    assert (refused["outcome"], refused["rule"], refused["code"]) == ("refused", 2, "threshold-not-met")
    assert "rule" not in malformed


def test_a_folder_that_changes_is_read_anew(store: Store) -> None:
    path = store.artifact("alice", "bob")
    before = read_folder(store.folder)
    store.write(POLICY.replace("version = 7", "version = 8"))
    with safemodel.verify(path, trust=store.folder, name=PRODUCTION) as artifact:
        assert artifact.policy.version == 8
        assert artifact.policy.digest != before.digest
    assert replace(before, version=9).find(bytes.fromhex(store.key_id("bob"))) is not None
