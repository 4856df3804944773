"""`safemodel trust`: what a team types, what its file looks like then, and what is refused without a trace."""

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import safemodel
from safemodel import system
from safemodel.errors import ConfigurationError
from safemodel.trust import folder
from safemodel.trust.editing import add_rule, set_signer

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

VERBS = ["init", "add", "remove", "revoke", "allow", "check", "show"]
POLICY = """\
# reviewed by Carol
version = 4  # raised at every change

[signers.alice]  # on the third floor
keys = ["release.pub"]

[[rules]]  # production
models = ["acme/*"]
signers = ["alice"]
"""


@pytest.fixture
def keys(cli: "CommandLine", shelf: "Shelf") -> Path:
    """A trust folder with one signer, beside the keys of others."""
    for name in ("release", "review", "stranger"):
        shutil.copy(shelf / f"{name}.key.pub", cli.folder)
    made = cli.folder / "keys"
    made.mkdir()
    shutil.copy(shelf / "release.key.pub", made / "release.pub")
    (made / "trust.toml").write_text(POLICY)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def text(keys: Path) -> str:
    return (keys / "trust.toml").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples_and_exit_codes(cli: "CommandLine", verb: str) -> None:
    shown = cli.good("trust", verb, "--help")
    assert f"safemodel trust {verb}" in shown.partition("examples:")[2]
    assert "exit codes:" in shown
    assert "--json" in shown


def test_two_commands_make_a_working_policy(cli: "CommandLine", tmp_path: Path) -> None:
    cli.good("keygen", "release.key", "--no-passphrase")
    cli.good("trust", "init", "keys", "--key", "release.key.pub")
    for name in ("churn", "acme/churn"):
        safemodel.dump([1], tmp_path / "churn.safemodel", key=tmp_path / "release.key", name=name)
        assert cli.document("verify", "churn.safemodel", "--trust", "keys")["files"][0]["rule"] == 1
    assert cli.document("trust", "check", "keys")["clean"]
    shown = cli.document("trust", "show", "keys")
    assert shown["policy"]["version"] == 1
    assert [signer["name"] for signer in shown["signers"]] == ["release"]
    assert sorted(contents(tmp_path / "keys")) == ["release.pub", "trust.toml"]
    assert "# Who may sign" in text(tmp_path / "keys")


def test_a_first_signer_as_the_user_says(cli: "CommandLine", shelf: "Shelf") -> None:
    key = shelf / "release.key.pub"
    arguments = ["--signer", "alice", "--models", "acme/*", "--models", "test/*"]
    made = cli.document("trust", "init", "keys", "--key", key, *arguments)
    assert [os.path.basename(path) for path in made["written"]] == ["trust.toml", "release.pub"]
    cli.good("verify", shelf.artifact, "--trust", "keys")
    shown = cli.document("trust", "show", "keys")
    assert [(rule["models"], rule["signers"]) for rule in shown["rules"]] == [(["acme/*", "test/*"], ["alice"])]


@pytest.mark.parametrize(
    "arguments", [(), ("--key", "release.key.pub"), ("--key", "release.key.pub", "--models", "a/*")]
)
def test_what_init_suggests_works(cli: "CommandLine", shelf: "Shelf", arguments: tuple[str, ...]) -> None:
    for name in ("release", "review"):
        shutil.copy(shelf / f"{name}.key.pub", cli.folder)
    suggested = cli.run("trust", "init", "keys", *arguments).stderr.splitlines()[-1]
    words = [{"NAME": "bob", "KEY.pub": "review.key.pub"}.get(word, word) for word in shlex.split(suggested)]
    assert words[1] == "safemodel"
    cli.good(*words[2:])


def test_a_policy_that_trusts_nobody(cli: "CommandLine", shelf: "Shelf") -> None:
    assert "trust add" in cli.run("trust", "init", "keys").stderr
    assert cli.refused_with_grounds("verify", shelf.artifact, "--trust", "keys") == "no-trusted-signature"


def test_keys_that_lie_in_a_folder_are_trusted_only_when_named(cli: "CommandLine", shelf: "Shelf") -> None:
    (cli.folder / "keys").mkdir()
    shutil.copy(shelf / "stranger.key.pub", cli.folder / "keys" / "stranger.pub")
    shutil.copy(shelf / "release.key.pub", cli.folder / "keys" / "release.pub")
    cli.document_here("trust", "init", "keys", "--key", "keys/release.pub")
    shown = cli.document_here("trust", "check", "keys", exit_code=1)
    assert [finding["level"] for finding in shown["findings"]] == ["warning"]
    assert "stranger.pub" in shown["findings"][0]["message"]


@pytest.mark.parametrize(
    ("exit_code", "arguments"),
    [
        (2, ["init", "new", "--signer", "alice"]),
        (2, ["init", "new", "--models", "acme/*"]),
        (4, ["init", "keys"]),
        (4, ["init", "keys", "--key", "review.key.pub"]),
        (4, ["init", "new", "--key", "review.key.pub", "--models", "acme/**"]),
        (4, ["init", "new", "--key", "review.key.pub", "--signer", "a/b"]),
        (4, ["init", "new", "--key", "missing.pub"]),
        (2, ["add", "keys", "bob"]),
        (2, ["add", "keys", "bob", "review.key.pub", "--reference", "env:X"]),
        (2, ["add", "keys", "bob", "--reference", "x"]),
        (2, ["add", "keys", "bob", "review.key.pub", "--valid-until", "soon"]),
        (2, ["add", "keys", "bob", "review.key.pub", "--valid-until", "2027-13-01T00"]),
        (4, ["add", "keys", "bob", "--models", "bob/*"]),
        (4, ["add", "keys", "bob", "release.key.pub"]),
        (4, ["add", "keys", "alice", "release.key.pub"]),
        (4, ["add", "keys", "bob", "review.key.pub", "--models", "*/churn"]),
        (4, ["add", "keys", "bob", "review.key.pub", "--models", "/"]),
        (4, ["add", "keys", "bob/", "review.key.pub"]),
        (4, ["add", "keys", "bob", "review.key.pub", "--valid-until", "2027-01-31T12:00:00"]),
        (4, ["add", "keys", "bob", "review.key.pub", "--valid-from", "2027-02-01", "--valid-until", "2027-01-31"]),
        (4, ["add", "keys", "alice", "--reference", "env:X"]),
        (4, ["add", "keys", "ci", "--reference", "file:secret.key"]),
        (4, ["add", "missing", "bob", "review.key.pub"]),
        (4, ["remove", "keys", "bob"]),
        (4, ["remove", "keys", "alice"]),
        (4, ["remove", "keys", "alice", "--key", "release.pub"]),
        (4, ["remove", "keys", "alice", "--key", "other.pub"]),
        (2, ["revoke", "keys", "--signer", "alice"]),
        (2, ["revoke", "keys", "--reason", "x"]),
        (4, ["revoke", "keys", "--signer", "bob", "--reason", "x"]),
        (4, ["revoke", "keys", "--signer", "alice", "--reason", ""]),
        (4, ["revoke", "keys", "--artifact", "ff", "--reason", "x"]),
        (4, ["revoke", "keys", "--key", "missing.pub", "--reason", "x"]),
        (2, ["allow", "keys", "a.safemodel"]),
        (2, ["allow", "keys", "a.safemodel", "--rule", "one"]),
        (4, ["allow", "keys", "a.safemodel", "--rule", "1"]),
        (4, ["check", "missing"]),
        (4, ["show", "missing"]),
        (2, ["frobnicate"]),
        (2, []),
    ],
)
def test_what_is_refused_changes_nothing(cli: "CommandLine", keys: Path, exit_code: int, arguments: list[str]) -> None:
    before = contents(keys)
    cli.refused_here(exit_code, "trust", *arguments)
    assert contents(keys) == before
    assert not (cli.folder / "new").exists()


@pytest.mark.parametrize("key", ["release.key", "locked.key", "shared.key"])
def test_no_secret_gets_into_the_folder(cli: "CommandLine", keys: Path, shelf: "Shelf", key: str) -> None:
    before = contents(keys)
    assert cli.refused(4, "trust", "add", "keys", "bob", shelf / key)["code"] == "key-material"
    assert contents(keys) == before


def test_a_secret_in_the_place_of_its_reference_is_not_shown(cli: "CommandLine", keys: Path) -> None:
    error = cli.refused(2, "trust", "add", "keys", "ci", "--reference", "correct horse")
    assert "correct horse" not in str(error)


def test_adding_keeps_what_stands_in_the_file(cli: "CommandLine", keys: Path) -> None:
    arguments = ["--models", "test/*", "--contact", "bob@example.com", "--valid-from", "2026-01-01"]
    cli.document_here(
        "trust", "add", "keys", "bob", "review.key.pub", *arguments, "--valid-until", "2031-01-31T12:00:00Z"
    )
    assert text(keys) == (
        POLICY.replace("version = 4", "version = 5").replace(
            "\n[[rules]]",
            '\n[signers.bob]\nkeys = ["review.pub"]\nvalid_from = 2026-01-01\nvalid_until = 2031-01-31T12:00:00Z\n'
            'contact = "bob@example.com"\n\n[[rules]]',
        )
        + '\n[[rules]]\nmodels = ["test/*"]\nsigners = ["bob"]\n'
    )
    assert safemodel.load_verifying_key(keys / "review.pub").key_id == (
        safemodel.load_verifying_key(cli.folder / "review.key.pub").key_id
    )


def test_a_new_signer_for_the_same_models_joins_the_rule(cli: "CommandLine", keys: Path, shelf: "Shelf") -> None:
    shutil.copy(shelf / "forged" / "churn.safemodel", cli.folder)
    assert cli.refused_with_grounds("verify", "churn.safemodel", "--trust", "keys") == "no-trusted-signature"
    cli.document_here("trust", "add", "keys", "bob", "stranger.key.pub", "--models", "acme/*")
    cli.good("verify", "churn.safemodel", "--trust", "keys")
    [rule] = cli.document_here("trust", "show", "keys")["rules"]
    assert rule["signers"] == ["alice", "bob"]


def test_a_key_is_added_and_removed_with_its_file(cli: "CommandLine", keys: Path) -> None:
    before = contents(keys)
    cli.document_here("trust", "add", "keys", "alice", "review.key.pub")
    assert 'keys = ["release.pub", "review.pub"]' in text(keys)
    removed = cli.document_here("trust", "remove", "keys", "alice", "--key", "keys/review.pub")
    assert [os.path.basename(path) for path in removed["deleted"]] == ["review.pub"]
    assert contents(keys) == before | {"trust.toml": POLICY.replace("version = 4", "version = 6").encode()}


def test_a_removed_signer_is_in_no_rule(cli: "CommandLine", keys: Path) -> None:
    cli.document_here("trust", "add", "keys", "bob", "review.key.pub", "--models", "acme/*")
    cli.document_here("trust", "remove", "keys", "alice")
    assert 'signers = ["bob"]' in text(keys)
    assert sorted(contents(keys)) == ["review.pub", "trust.toml"]


def test_another_file_of_the_same_name_is_left_alone(cli: "CommandLine", keys: Path) -> None:
    (keys / "review.pub").write_bytes((cli.folder / "stranger.key.pub").read_bytes())
    before = contents(keys)
    assert cli.refused(4, "trust", "add", "keys", "bob", "review.key.pub")["code"] == "io"
    assert contents(keys) == before


def test_a_secret_is_referred_to_and_need_not_be_at_hand(cli: "CommandLine", keys: Path, shelf: "Shelf") -> None:
    secret = (shelf / "shared.key").read_text()
    cli.document_here("trust", "add", "keys", "ci", "--reference", "env:CI_KEY", "--models", "ci/*")
    shown = cli.document_here("trust", "show", "keys")["signers"][1]["keys"]
    assert [key["key_id"] for key in shown] == [None]
    assert "not at hand" in cli.good("trust", "show", "keys")
    cli.document_here("trust", "add", "keys", "bob", "review.key.pub", "--models", "test/*")
    assert cli.refused(4, "trust", "check", "keys")["code"] == "configuration"
    assert cli.document_here("trust", "check", "keys", CI_KEY=secret)["clean"]
    assert len(cli.document_here("trust", "show", "keys", CI_KEY=secret)["signers"][1]["keys"][0]["key_id"]) == 64


def test_a_secret_in_a_file_stays_there_when_its_signer_goes(cli: "CommandLine", keys: Path, shelf: "Shelf") -> None:
    secret = Path(shutil.copy(shelf / "shared.key", cli.folder))
    for reference in (f"file:{secret}", "env:CI_KEY"):
        cli.document_here("trust", "add", "keys", "ci", "--reference", reference)
    cli.document_here("trust", "remove", "keys", "ci", "--key", "env:CI_KEY")
    assert cli.document_here("trust", "remove", "keys", "ci")["deleted"] == []
    assert secret.exists()


@pytest.mark.parametrize("what", ["key", "file", "signer", "artifact"])
def test_what_is_revoked_is_refused(cli: "CommandLine", keys: Path, shelf: "Shelf", what: str) -> None:
    artifact = safemodel.inspect(shelf.artifact)
    option, of = {
        "key": ("--key", artifact.key_ids[0]),
        "file": ("--key", "keys/release.pub"),
        "signer": ("--signer", "alice"),
        "artifact": ("--artifact", artifact.digest),
    }[what]
    cli.good("verify", shelf.artifact, "--trust", "keys")
    arguments = ["trust", "revoke", "keys", option, of, "--reason", 'it "leaked"', "--date", "2026-11-02"]
    cli.document_here(*arguments)
    assert cli.refused_with_grounds("verify", shelf.artifact, "--trust", "keys") == "revoked"
    assert text(keys).endswith('date = 2026-11-02\nreason = "it \\"leaked\\""\n')
    assert cli.refused(4, *arguments)["code"] == "configuration"
    shown = cli.document_here("trust", "show", "keys")
    assert [each["reason"] for each in shown["revoked"]] == ['it "leaked"']
    assert shown["signers"][0]["revoked"] == (what == "signer")
    assert shown["signers"][0]["keys"][0]["revoked"] == (what != "artifact")


def test_the_table(cli: "CommandLine", keys: Path) -> None:
    (keys / "trust.toml").write_text(
        POLICY.replace('pub"]', 'pub"]\nvalid_from = 2020-01-01\nvalid_until = 2090-01-01\ncontact = "a@b"')
        + 'except = ["acme/x"]\ndeny = ["a.b", "a.c"]\nmin_version = "2"\n'
    )
    cli.document_here("trust", "revoke", "keys", "--signer", "alice", "--reason", "gone", "--date", "2026-11-02")
    first, *lines = cli.good("trust", "show", "keys").splitlines()
    assert "version 5" in first
    key = safemodel.load_verifying_key(keys / "release.pub").key_id.hex()
    assert lines == [
        "  signer         alice, from 2020-01-01T00:00:00Z, until 2090-01-01T00:00:00Z, a@b, revoked",
        f"    key          release.pub, ed25519 key {key}, revoked",
        "  rule           1, for acme/* except acme/x: 1 of alice",
        "    min_version  2",
        "    deny         a.b, a.c",
        "  revoked        signer alice, 2026-11-02: gone",
    ]


def test_findings(cli: "CommandLine", keys: Path, shelf: "Shelf") -> None:
    cli.document_here("trust", "add", "keys", "alice", "--valid-until", "2026-01-31")
    cli.document_here("trust", "add", "keys", "bob", "review.key.pub")
    shutil.copy(cli.folder / "stranger.key.pub", keys / "stranger.pub")
    shutil.copy(shelf / "release.key", keys / "private.key")
    shutil.copy(shelf / "shared.key", keys / "shared.pem")
    (keys / "README.md").write_text("our keys")
    (keys / "folder").mkdir()
    document = cli.document_here("trust", "check", "keys", exit_code=1)
    assert not document["clean"]
    found = [(finding["level"], finding["message"]) for finding in document["findings"]]
    for expected, word in [
        ("error", "private.key"),
        ("error", "shared.pem"),
        ("warning", "expired"),
        ("warning", "no rule names bob"),
        ("error", "rule 1"),
        ("warning", "stranger.pub"),
    ]:
        assert any(level == expected and word in message for level, message in found)
    assert len(found) == 6
    done = cli.run("trust", "check", "keys")
    assert done.returncode == 1
    assert "6 findings" in done.stdout


def test_a_rule_that_allows_what_is_never_allowed_is_no_policy(cli: "CommandLine", keys: Path) -> None:
    (keys / "trust.toml").write_text(POLICY + 'allow = ["os.system"]\n')
    assert cli.refused(4, "trust", "check", "keys")["code"] == "configuration"


@pytest.fixture
def clipped(cli: "CommandLine", shelf: "Shelf", monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An artifact that reaches for a class of a module of the user's."""
    (cli.folder / "acmelib.py").write_text("class Clip:\n    pass\n\n\nclass Scale:\n    pass\n")
    monkeypatch.syspath_prepend(cli.folder)
    import acmelib  # type: ignore[import-not-found]

    path = cli.folder / "clip.safemodel"
    names = ["acmelib.Clip", "acmelib.Scale"]
    model = [acmelib.Clip(), acmelib.Scale()]
    safemodel.dump(model, path, key=shelf / "release.key", name="acme/clip", allow=names)
    yield path
    monkeypatch.delitem(__import__("sys").modules, "acmelib")


def test_a_rule_allows_what_a_refused_artifact_needs(cli: "CommandLine", keys: Path, clipped: Path) -> None:
    assert cli.refused_with_grounds("verify", clipped, "--trust", "keys") == "global-not-allowed"
    allowed = cli.document_here("trust", "allow", "keys", clipped, "--rule", "1")
    assert allowed["allow"] == ["acmelib.Clip", "acmelib.Scale"]
    assert text(keys) == POLICY.replace("version = 4", "version = 5") + 'allow = ["acmelib.Clip", "acmelib.Scale"]\n'
    cli.good("verify", clipped, "--trust", "keys")
    after = contents(keys)
    assert cli.document_here("trust", "allow", "keys", clipped, "--rule", "1")["allow"] == []
    assert "nothing was changed" in cli.good("trust", "allow", "keys", clipped, "--rule", "1")
    assert contents(keys) == after


def test_what_is_lacking_is_added_to_what_is_allowed(cli: "CommandLine", keys: Path, clipped: Path) -> None:
    (keys / "trust.toml").write_text(POLICY + 'allow = ["acmelib.Clip"] # seen\n')
    cli.document_here("trust", "allow", "keys", clipped, "--rule", "1")
    assert text(keys).endswith('allow = ["acmelib.Clip", "acmelib.Scale"] # seen\n')


@pytest.mark.parametrize(
    ("exit_code", "old", "new", "rule"),
    [
        (4, "", "", "2"),
        (4, "", "", "0"),
        (1, 'signers = ["alice"]\n', 'signers = ["alice"]\ndeny = ["acmelib.Clip"]\n', "1"),
        (1, 'signers = ["alice"]\n', 'signers = ["alice"]\nmin_version = "1"\n', "1"),
        (1, 'pub"]\n', 'pub"]\nvalid_until = 2026-01-01\n', "1"),
        (1, "acme/*", "other/*", "1"),
    ],
)
def test_what_is_not_allowed(
    cli: "CommandLine", keys: Path, clipped: Path, exit_code: int, old: str, new: str, rule: str
) -> None:
    (keys / "trust.toml").write_text(POLICY.replace(old, new) if old else POLICY)
    before = contents(keys)
    cli.refused_here(exit_code, "trust", "allow", "keys", clipped, "--rule", rule)
    assert contents(keys) == before


def test_a_stranger_gets_nothing_allowed(cli: "CommandLine", keys: Path, shelf: "Shelf") -> None:
    forged = shelf / "forged" / "churn.safemodel"
    before = contents(keys)
    error = cli.refused_here(1, "trust", "allow", "keys", forged, "--rule", "1")
    assert error["code"] == "no-trusted-signature"
    assert cli.refused_here(3, "trust", "allow", "keys", shelf / "junk.safemodel", "--rule", "1")["code"] == "format"
    assert contents(keys) == before


def test_a_policy_that_cannot_be_written_leaves_no_key(
    cli: "CommandLine", keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(keys)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(system, "atomic_file", fail)
    monkeypatch.chdir(cli.folder)
    key = folder.read_public_key("review.key.pub")
    with pytest.raises(OSError, match="no space"):
        folder.edit_folder("keys", {"bob.pub": key}, set_signer("bob", ["bob.pub"]), add_rule(["bob/*"], "bob"))
    assert contents(keys) == before


def test_the_file_keeps_its_permissions_and_its_link(cli: "CommandLine", keys: Path) -> None:
    (keys / "trust.toml").rename(cli.folder / "reviewed.toml")
    (cli.folder / "reviewed.toml").chmod(0o640)
    (keys / "trust.toml").symlink_to("../reviewed.toml")
    cli.document_here("trust", "add", "keys", "alice", "--contact", "a@b")
    assert (keys / "trust.toml").is_symlink()
    assert stat.S_IMODE((cli.folder / "reviewed.toml").stat().st_mode) == 0o640
    assert "version = 5" in (cli.folder / "reviewed.toml").read_text()


def test_a_second_editor_is_kept_out(cli: "CommandLine", keys: Path) -> None:
    with system.locked(keys / "trust.toml"):
        assert cli.refused(4, "trust", "add", "keys", "alice", "--contact", "a@b")["code"] == "io"
    assert text(keys) == POLICY


def test_an_invalid_policy_is_not_edited(keys: Path) -> None:
    (keys / "trust.toml").write_text(POLICY.replace("acme/*", "acme/**"))
    before = contents(keys)
    with pytest.raises(ConfigurationError):
        folder.edit_folder(str(keys), {}, set_signer("alice", contact="a@b"))
    assert contents(keys) == before
