"""What is wrong with policies that can be read."""

import pytest

from safemodel.signing import EcdsaP256Signer, Ed25519Signer
from safemodel.trust.lint import Finding, lint
from safemodel.trust.policy import TrustPolicy

KEYS = {f"{name}.pub": Ed25519Signer.generate().verifying_key for name in ("alice", "alice-2", "bob")}
PUBLISHER = EcdsaP256Signer.generate().verifying_key
NOW = 1_800_000_000  # 2027-01-15
GOOD = """
version = 1
[signers.alice]
keys = ["alice.pub", "alice-2.pub"]
[signers.bob]
keys = ["bob.pub"]
[[rules]]
models = ["acme/*"]
signers = ["alice", "bob"]
threshold = 2
"""


def findings(text: str, *files: str) -> tuple[Finding, ...]:
    policy = TrustPolicy.from_toml(text, lambda reference: (KEYS | {"publisher.pub": PUBLISHER})[reference].to_pem())
    return lint(policy, NOW, files)


def revoked(line: str) -> str:
    return f'{GOOD}[[revoked]]\n{line}\ndate = 2026-01-01\nreason = "stolen"\n'


def with_bob(lines: str) -> str:
    return GOOD.replace('["bob.pub"]', f'["bob.pub"]\n{lines}')


def test_a_clean_policy() -> None:
    assert findings(GOOD, *KEYS) == ()
    publisher = GOOD.replace("[signers.bob]", '[signers.publisher]\nkeys = ["publisher.pub"]\n[signers.bob]')
    assert findings(publisher + 'oms = ["publisher"]\n') == ()
    assert findings(revoked(f'key = "{KEYS["alice" + ".pub"].key_id.hex()}"')) == ()  # the other key still counts


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("threshold = 2", "threshold = 3"),
        revoked('signer = "bob"'),
        revoked(f'key = "{KEYS["bob.pub"].key_id.hex()}"'),
        revoked('signer = "bob"').replace("threshold = 2", 'require = ["bob"]'),
        with_bob("valid_from = 2028-01-01"),
        GOOD + 'except = ["acme/*"]\n',
    ],
)
def test_rules_that_nothing_can_meet(text: str) -> None:
    errors = [finding for finding in findings(text) if finding.is_error]
    assert len(errors) == 1
    assert "rule 1" in errors[0].message
    assert errors[0].hint


@pytest.mark.parametrize(
    ("text", "files", "what"),
    [
        (with_bob("valid_until = 2027-01-15").replace("threshold = 2", ""), [], "have expired"),
        (with_bob("valid_until = 2027-02-01"), [], "expire within 30 days"),
        (GOOD.replace('["alice", "bob"]\nthreshold = 2', '["alice"]'), [], "no rule names bob"),
        (GOOD, ["alice.pub", "old.pub"], "no signer has the key old.pub"),
        (GOOD + 'oms = ["bob"]\n', [], "no key on P-256"),
        (GOOD + 'allow = ["a.b"]\ndeny = ["a.b"]\n', [], "allows and denies a.b"),
    ],
)
def test_what_a_reviewer_should_know(text: str, files: list[str], what: str) -> None:
    [finding] = findings(text, *files)
    assert what in finding.message
    assert not finding.is_error
