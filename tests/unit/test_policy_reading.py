"""What a `trust.toml` says, and that nothing in it is guessed at. The table of docs/trust.md lists what is no good."""

import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

import safemodel
from safemodel.errors import ConfigurationError, SafemodelError
from safemodel.signing import EcdsaP256Signer, Ed25519Signer, HmacSha256Key
from safemodel.signing.pem import armor
from safemodel.trust import reading
from safemodel.trust.loader import read_folder
from safemodel.trust.policy import Revocation, TrustPolicy

ALICE, BOB, SHARED = Ed25519Signer.generate(), EcdsaP256Signer.generate(), HmacSha256Key.generate()
COMPRESSED = load_pem_public_key(BOB.verifying_key.to_pem()).public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
PUBLIC_SECRET = HmacSha256Key(ALICE.verifying_key.raw)
KEYS = {
    "alice.pub": ALICE.verifying_key.to_pem(),
    "alice-too.pub": ALICE.verifying_key.to_pem(),
    "bob.pub": BOB.verifying_key.to_pem(),
    "bob-compressed.pub": armor(
        "PUBLIC KEY", bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + COMPRESSED
    ),
    "shared.key": SHARED.to_pem(),
    "junk.pub": b"junk",
}
SECRETS = {"SHARED": SHARED.to_pem(), "BOB": BOB.verifying_key.to_pem(), "PUBLIC": PUBLIC_SECRET.to_pem()}
GOOD = """
version = 7

[signers.alice]
keys = ["alice.pub"]
valid_from = 2026-01-01
valid_until = 2027-01-01T12:00:00+02:00
contact = "alice@example.com"

[signers.bob]
keys = ["bob.pub"]

[signers.ci]
keys = ["env:SHARED"]

[[rules]]
models = ["acme/*"]
except = ["acme/test-*"]
signers = ["alice", "bob"]
threshold = 2
require = ["alice"]
min_version = "1.4.0"
max_age_days = 90
digests = ["sha256"]
allow = ["acme.transformers.Clip"]
deny = ["numpy.ndarray"]
environment = "error"
versions = { Scikit_Learn = "<1.9, >=1.6", python = ">=3.11" }
roles = "walk"
oms = ["bob"]

[[rules]]
models = ["acme/test-*"]
signers = ["ci"]

[[revoked]]
signer = "bob"
date = 2026-11-01
reason = "left"
"""

VERSIONS = 'versions = { Scikit_Learn = "<1.9, >=1.6", python = ">=3.11" }'

# Each row of the table, as one or more changes of the policy above: what is replaced, and what by.
WRONG: dict[str, list[tuple[str, str]]] = {
    "is not TOML": [(GOOD, "version = "), (GOOD, f"version = {'1' * 5000}"), (GOOD, "a = " + "[" * 10_000)],
    "has a field that is not known": [
        ("version = 7", "version = 7\nname = 'x'"),
        ("contact", "contacts"),
        ("threshold", "treshold"),
        ("reason", "why"),
        ("date = 2026-11-01", "dates = 2026-11-01"),
    ],
    "lacks a field": [
        ("version = 7", ""),
        ('keys = ["bob.pub"]', ""),
        ('models = ["acme/test-*"]', ""),
        ('signers = ["ci"]', ""),
        ("date = 2026-11-01", ""),
        ('reason = "left"', ""),
    ],
    "has a field of another type": [
        ("version = 7", "version = true"),
        ("version = 7", "version = 7.0"),
        ("version = 7", "version = '7'"),
        (GOOD, "version = 1\nsigners = []"),
        (GOOD, "version = 1\nsigners.alice = 3"),
        (GOOD, "version = 1\nrules = {}"),
        (GOOD, "version = 1\nrules = [1]"),
        (GOOD, "version = 1\nrevoked = 'bob'"),
        ('keys = ["bob.pub"]', 'keys = "bob.pub"'),
        ('keys = ["bob.pub"]', "keys = [1]"),
        ("valid_from = 2026-01-01", "valid_from = '2026-01-01'"),
        ("valid_from = 2026-01-01", "valid_from = 12:00:00"),
        ('contact = "alice@example.com"', "contact = 1"),
        ('except = ["acme/test-*"]', 'except = "acme/test-*"'),
        ("threshold = 2", "threshold = '2'"),
        ('min_version = "1.4.0"', "min_version = 1.4"),
        ("max_age_days = 90", "max_age_days = 90.5"),
        ('environment = "error"', "environment = true"),
        ('environment = "error"', 'environment = "ignore"'),
        (VERSIONS, 'versions = ">=1.6"'),
        (VERSIONS, 'versions = [">=1.6"]'),
        ('roles = "walk"', 'roles = "none"'),
        ('roles = "walk"', "roles = 1"),
        ('oms = ["bob"]', 'oms = "bob"'),
        ("date = 2026-11-01", "date = '2026-11-01'"),
        ('reason = "left"', "reason = 1"),
    ],
    "has an empty list or text": [
        ('keys = ["bob.pub"]', "keys = []"),
        ('models = ["acme/test-*"]', "models = []"),
        ('signers = ["ci"]', "signers = []"),
        ('digests = ["sha256"]', "digests = []"),
        ('min_version = "1.4.0"', 'min_version = ""'),
        ('contact = "alice@example.com"', 'contact = ""'),
        ('reason = "left"', 'reason = ""'),
    ],
    "has an item twice in a list": [
        ('keys = ["bob.pub"]', 'keys = ["bob.pub", "bob.pub"]'),
        ('signers = ["alice", "bob"]', 'signers = ["alice", "bob", "alice"]'),
    ],
    "has a version, threshold or age below 1": [
        ("version = 7", "version = 0"),
        ("threshold = 2", "threshold = 0"),
        ("max_age_days = 90", "max_age_days = -1"),
    ],
    "has a time without its zone": [("valid_from = 2026-01-01", "valid_from = 2026-01-01T00:00:00")],
    "has a signer whose validity ends before it begins": [
        ("valid_from = 2026-01-01", "valid_from = 2028-01-01"),
        ("valid_until = 2027-01-01T12:00:00+02:00", "valid_until = 2026-01-01"),
    ],
    "has a signer with a name that is none": [
        ("[signers.bob]", "[signers.'bob builder']"),
        ("[signers.bob]", f"[signers.{'b' * 64}]"),
        ("[signers.bob]", "[signers.'']"),
    ],
    "has a key that is not there": [('"bob.pub"', '"bobby.pub"')],
    "has a file that is no public key": [('"bob.pub"', '"junk.pub"'), ('"bob.pub"', '"private.key"')],
    "has a key that is no name of a file": [
        ('"bob.pub"', '"../bob.pub"'),
        ('"bob.pub"', '".."'),
        ('"bob.pub"', '"\\n.pub"'),
        ('"env:SHARED"', '"file:{folder}/../\\u0000"'),
    ],
    "has a key outside the folder that is public": [('"env:SHARED"', '"env:BOB"')],
    "has a secret in the folder": [
        ('"env:SHARED"', '"shared.key"'),
        ('"env:SHARED"', '"file:{folder}/shared.key"'),
        ('"env:SHARED"', '"file:{folder}/../link/shared.key"'),
        ('"env:SHARED"', '"file:shared.key"'),
    ],
    "refers to a secret that is missing": [
        ('"env:SHARED"', '"env:NOTHING"'),
        ('"env:SHARED"', '"env:"'),
        ('"env:SHARED"', '"file:{folder}/../nothing.key"'),
    ],
    "has a key under two signers": [('["bob.pub"]', '["alice-too.pub"]'), ('["bob.pub"]', '["bob.pub", "alice.pub"]')],
    "has one P-256 key twice, its point compressed and not": [
        ('["alice.pub"]', '["bob-compressed.pub"]'),
        ('["bob.pub"]', '["bob.pub", "bob-compressed.pub"]'),
    ],
    "has a secret that is a listed public key": [('"env:SHARED"', '"env:PUBLIC"')],
    "has a signer with a secret and public keys": [('["bob.pub"]', '["bob.pub", "env:SHARED"]')],
    "has a rule with a secret's signer and others": [('signers = ["ci"]', 'signers = ["ci", "bob"]')],
    "has a rule with a secret's signer and a threshold": [('signers = ["ci"]', 'signers = ["ci"]\nthreshold = 2')],
    "names a signer who is not listed": [
        ('signers = ["ci"]', 'signers = ["cy"]'),
        ('oms = ["bob"]', 'oms = ["boob"]'),
    ],
    "requires a signer whom the rule does not name": [('require = ["alice"]', 'require = ["ci"]')],
    "has a pattern that is none": [
        ('models = ["acme/test-*"]', f"models = ['{pattern}']")
        for pattern in ("", "/", "acme/", "acme/**", "acme/*x", "Acme/x", "acme/.x", "acme/-*", "a" * 129, "acme/x?")
    ]
    + [('except = ["acme/test-*"]', 'except = ["acme/test-"]')],
    "has a version that is none": [('min_version = "1.4.0"', 'min_version = "1.4.0+local"')],
    "has a digest algorithm that is not known": [('digests = ["sha256"]', 'digests = ["sha512"]')],
    "accepts versions that are none": [
        (VERSIONS, f"versions = {{ {wrong} }}")
        for wrong in (
            "numpy = '1.6'",
            "numpy = ''",
            "numpy = 1",
            "numpy = ['>=1']",
            "'num py' = '>=1'",
            "'' = '>=1'",
            f"{'n' * 65} = '>=1'",
        )
    ],
    "allows what is no global": [
        ("acme.transformers.Clip", "Clip"),
        ("acme.transformers.Clip", "acme.*"),
        ("numpy.ndarray", "numpy."),
    ],
    "has two rules for one name": [
        ('except = ["acme/test-*"]', ""),
        ('except = ["acme/test-*"]', 'except = ["acme/test-a*"]'),
        ('models = ["acme/test-*"]', 'models = ["acme/test-*", "*/churn"]'),
    ],
    "revokes two things at once": [
        ('signer = "bob"', f'signer = "bob"\nkey = "{"0" * 64}"'),
        ('signer = "bob"', ""),
    ],
    "revokes a key id that is none": [
        ('signer = "bob"', 'key = "bob"'),
        ('signer = "bob"', f'artifact = "{"A" * 64}"'),
        ('signer = "bob"', f'key = "{"0" * 63}"'),
    ],
    "revokes a signer who is not listed": [('signer = "bob"', 'signer = "bobby"')],
}
ELSEWHERE = {"is not there", "is not in UTF-8", "allows what is never allowed"}  # tested where files are read and used
ROW = re.compile(r"^\| ([^|]+) \| `(configuration|key-material)` \|$", re.MULTILINE)
TEXT = (Path(__file__).parents[2] / "docs" / "trust.md").read_text(encoding="utf-8")
LISTED = dict(ROW.findall(TEXT))
SCHEMA = TEXT[TEXT.index("## Fields") : TEXT.index("## Models")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: Any) -> Path:
    """A folder with every key, and a link to it beside it."""
    made = tmp_path / "keys"
    made.mkdir()
    for name, pem in KEYS.items():
        (made / name).write_bytes(pem)
    (made / "private.key").write_bytes(release.private.read_bytes())
    (tmp_path / "link").symlink_to(made)
    for name, pem in SECRETS.items():
        monkeypatch.setenv(name, pem.decode())
    return made


def read(folder: Path, text: str = GOOD) -> TrustPolicy:
    (folder / "trust.toml").write_text(text.replace("{folder}", str(folder)))
    return read_folder(folder)


def test_everything_that_can_be_said(folder: Path) -> None:
    policy = read(folder)
    alice, bob, ci = policy.signers
    assert (alice.name, alice.contact, alice.valid_from) == ("alice", "alice@example.com", 1767225600)
    assert alice.valid_until == 1798797600
    assert (bob.valid_from, bob.valid_until, bob.contact, list(ci.keys)) == (None, None, "", ["env:SHARED"])
    strict, plain = policy.rules
    assert (strict.number, strict.signers, strict.threshold, strict.require) == (1, ("alice", "bob"), 2, ("alice",))
    assert (strict.min_version, strict.max_age_days, strict.digests) == ("1.4.0", 90, ("sha256",))
    assert (strict.allow, strict.deny) == (("acme.transformers.Clip",), ("numpy.ndarray",))
    assert (strict.environment, strict.roles) == ("error", "walk")
    assert strict.versions == (("python", ">=3.11"), ("scikit-learn", "<1.9,>=1.6"))
    assert (plain.threshold, plain.require, plain.min_version, plain.max_age_days) == (1, (), None, None)
    assert (plain.digests, plain.allow, plain.deny) == (("blake3", "sha256"), (), ())
    assert (plain.environment, plain.versions, plain.roles) == ("warn", (), "manifest")
    assert policy.revocations == (Revocation("signer", "bob", "2026-11-01", "left"),)
    assert (policy.version, policy.path, policy.folder) == (7, str(folder / "trust.toml"), str(folder))
    assert policy.signer("bob") is bob


def test_the_least_that_can_be_said(folder: Path) -> None:
    policy = read(folder, "version = 1")
    assert (policy.signers, policy.rules, policy.revocations) == ((), (), ())


def test_a_fraction_of_a_second_is_rounded_up(folder: Path) -> None:
    policy = read(folder, GOOD.replace("2026-01-01", "2026-01-01T00:00:00.25Z", 1))
    assert policy.signers[0].valid_from == 1767225601


def test_the_digest_is_that_of_the_file(folder: Path) -> None:
    from hashlib import sha256

    policy = read(folder, GOOD + "# ü\r\n")
    assert policy.digest == sha256((folder / "trust.toml").read_bytes()).hexdigest()


@pytest.mark.parametrize(("what", "changes"), WRONG.items())
def test_what_is_no_good(what: str, changes: list[tuple[str, str]], folder: Path) -> None:
    for old, new in changes:
        assert old in GOOD
        with pytest.raises(SafemodelError) as caught:
            read(folder, GOOD.replace(old, new, 1))
        assert caught.value.code == LISTED[what], (new, caught.value)
        assert str(folder / "trust.toml") in caught.value.args[0]
        assert "PRIVATE" not in str(caught.value)


def test_the_table_is_complete() -> None:
    assert set(LISTED) == set(WRONG) | ELSEWHERE


def test_every_field_is_documented() -> None:
    fields = re.findall(r"^\| `([\w.\[\]]+)` \|", SCHEMA, re.MULTILINE)
    assert fields == [
        "version",
        *(f"signers.NAME{field and '.'}{field}" for field in ("", *reading.SIGNER_FIELDS)),
        *(f"rules[].{field}" for field in reading.RULE_FIELDS),
        *(f"revoked[].{field}" for field in reading.REVOCATION_FIELDS),
    ]
    assert reading.POLICY_FIELDS == ("version", "signers", "rules", "revoked")


@pytest.mark.parametrize(
    ("old", "new", "near"),
    [
        ("threshold", "treshold", "threshold"),
        ('signers = ["ci"]', 'signers = ["cii"]', "ci"),
        ('"sha256"', '"sha265"', "sha256"),
        ("[[revoked]]", "[[revoke]]", "revoked"),
    ],
)
def test_a_mistake_is_answered_with_the_nearest_word(old: str, new: str, near: str, folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, GOOD.replace(old, new))
    assert f"{near!r}" in caught.value.hint


def test_a_word_like_no_other_is_answered_with_all(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, "version = 1\nxyz = 1")
    assert "signers, rules, revoked" in caught.value.hint
    with pytest.raises(ConfigurationError, match="rule 1"):
        read(folder, "version = 1\n[[rules]]\nmodels = ['a']\nsigners = ['bob']")


def test_two_rules_for_one_name_are_shown_with_one(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="rules 1 and 2 are both for 'acme/test-"):
        read(folder, GOOD.replace('except = ["acme/test-*"]', ""))


def test_a_policy_is_made_without_files() -> None:
    text = 'version = 1\n[signers.a]\nkeys = ["alice.pub"]\n[[rules]]\nmodels = ["*"]\nsigners = ["a"]'
    policy = TrustPolicy.from_toml(text, KEYS.__getitem__)
    assert policy.find(ALICE.key_id) == (policy.signers[0], ALICE.verifying_key)
    assert policy.find(BOB.key_id) is None
    assert policy.folder == "."


def test_explicit_parameters_of_a_curve_are_no_second_way_to_write_a_key(folder: Path, tmp_path: Path) -> None:
    """What openssl writes with -ec_param_enc explicit could name another generator (CVE-2020-0601)."""
    import shutil
    import subprocess

    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    command = ["openssl", "pkey", "-pubin", "-in", str(folder / "bob.pub"), "-pubout", "-ec_param_enc", "explicit"]
    (folder / "explicit.pub").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    with pytest.raises(safemodel.KeyMaterialError):
        read(folder, GOOD.replace('["alice.pub"]', '["explicit.pub"]'))


# Folders.


def test_a_folder_without_a_policy_trusts_nobody(folder: Path, churn: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        safemodel.load(churn, trust=folder)
    assert "safemodel trust init" in caught.value.hint
    assert "safemodel trust add" in caught.value.hint
    assert LISTED["is not there"] == caught.value.code


def test_a_policy_in_another_encoding(folder: Path) -> None:
    (folder / "trust.toml").write_bytes("# ü".encode("latin-1"))
    with pytest.raises(ConfigurationError) as caught:
        read_folder(folder)
    assert LISTED["is not in UTF-8"] == caught.value.code


def test_a_policy_of_megabytes(folder: Path) -> None:
    with pytest.raises(ConfigurationError):
        read(folder, "version = 1\n" + "#" * 2**20)


def test_a_folder_of_links_as_a_mounted_configmap_has_them(folder: Path, tmp_path: Path) -> None:
    read(folder)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "..data").symlink_to(folder)
    for name in ("trust.toml", "alice.pub", "bob.pub"):
        (mounted / name).symlink_to(Path("..data", name))
    policy = safemodel.TrustPolicy.from_toml(
        GOOD, lambda reference: SECRETS["SHARED"] if ":" in reference else KEYS[reference]
    )
    found = read_folder(mounted)
    assert (found.digest, found.path) == (policy.digest, str(mounted / "trust.toml"))


def test_a_secret_in_a_file_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.key").write_bytes(SHARED.to_pem())
    policy = read(folder, GOOD.replace('"env:SHARED"', f'"file:{tmp_path}/shared.key"'))
    assert policy.find(SHARED.key_id) is not None


def test_a_folder_is_named_alone(folder: Path, release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from safemodel.trust.loader import read_trust

    policy = read(folder)
    for alone in (folder, [folder], policy, [policy]):
        assert read_trust(alone).digest == policy.digest
    monkeypatch.setenv("SAFEMODEL_TRUST", str(folder))
    assert read_trust(None).digest == policy.digest
    for several in ([folder, release.public], [policy, folder], [release.public, policy]):
        with pytest.raises(ConfigurationError):
            read_trust(several)
