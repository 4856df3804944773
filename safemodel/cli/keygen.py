"""`safemodel keygen`: make a key, change its passphrase, or write the public key of one that is elsewhere."""

import argparse
import shlex
from typing import TYPE_CHECKING, Final, Literal

import safemodel
from safemodel.cli import output
from safemodel.cli.failure import UsageError
from safemodel.cli.options import add_json, add_passphrase, completing_files, passphrase_of, secret_in
from safemodel.signing import write_verifying_key

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_ALGORITHMS: Final = ("ed25519", "ecdsa-p256", "hmac-sha256")

_EPILOG: Final = """\
PATH is the private key: it signs, and stays with you. PATH.pub is the public key: whoever loads your
models needs it, and should get it from you rather than from where the models lie.
An hmac-sha256 key is PATH alone, is not encrypted, and whoever can verify with it can also sign.

With --change-passphrase, PATH is an existing private key. It is replaced as a whole or not at all, and
PATH.pub stays good. The old passphrase is in SAFEMODEL_PASSPHRASE, or you are asked for it.

With --public-of, PATH is written with the public key of a key that is elsewhere: in a file of another
kind, an SSH agent (ssh-agent:), a PKCS#11 token (pkcs11:...) or AWS KMS (awskms:...).

examples:
  safemodel keygen release.key                                    asks for a passphrase, twice
  safemodel keygen release.key --passphrase-env RELEASE_SECRET    takes it from a variable
  safemodel keygen ci.key --no-passphrase                         for where a secret store guards the file
  safemodel keygen release.key --change-passphrase                asks for the old one, and twice for the new one
  safemodel keygen release.pub --public-of awskms:alias/release   to be trusted; the private key stays there

--json, with null for what was not written:
  {"algorithm", "key_id", "private_key", "verifying_key"}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "keygen",
        help="make a key pair, or change its passphrase",
        description="Make a key pair: PATH and PATH.pub.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("path", metavar="PATH", help="file of the private key; never overwritten"))
    parser.add_argument("--algorithm", choices=_ALGORITHMS, help="default: ed25519")
    passphrase = parser.add_mutually_exclusive_group()
    passphrase.add_argument("--no-passphrase", action="store_true", help="leave the private key unencrypted")
    add_passphrase(passphrase)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--change-passphrase", action="store_true", help="encrypt PATH, which exists, anew")
    instead.add_argument(
        "--public-of", metavar="KEY", help="write the public key of this key, a file or a URI, to PATH"
    )
    parser.add_argument(
        "--old-passphrase-env", metavar="VAR", help="with --change-passphrase: variable with the old passphrase"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write what was asked for, and say what to do with it."""
    _refuse_what_does_not_apply(arguments)
    if arguments.change_passphrase:
        return _change(arguments)
    return _make(arguments) if arguments.public_of is None else _export(arguments)


def _make(arguments: argparse.Namespace) -> int:
    algorithm = arguments.algorithm or "ed25519"
    key = safemodel.generate_keyfile(arguments.path, algorithm=algorithm, passphrase=_new_passphrase(arguments))
    shared = algorithm == "hmac-sha256"
    verifying = arguments.path if shared else f"{arguments.path}.pub"
    if arguments.json:
        output.document(_value(key, private=arguments.path, verifying=verifying))
        return 0
    output.result(
        f"made {key.algorithm} key {key.key_id.hex()}",
        *output.table([(arguments.path, "secret: signs and verifies")] if shared else _pair(arguments.path, verifying)),
    )
    output.note(f"next: safemodel.dump(model, 'NAME.safemodel', key={arguments.path!r})")
    output.note(f"then: safemodel verify NAME.safemodel --trust {shlex.quote(verifying)}")
    if not shared:
        output.note(f"or, for a team: safemodel trust init keys --key {shlex.quote(verifying)}")
    return 0


def _change(arguments: argparse.Namespace) -> int:
    old = secret_in(arguments.old_passphrase_env, "--old-passphrase-env")
    new = _new_passphrase(arguments)
    key = safemodel.change_passphrase(arguments.path, old=old, new=new)
    if arguments.json:
        output.document(_value(key, private=arguments.path))
        return 0
    state = "not encrypted any more" if new is False else "encrypted under the new passphrase"
    output.result(f"{arguments.path}: {key.algorithm} key {key.key_id.hex()}, {state}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    key = safemodel.load_signer(arguments.public_of, passphrase=passphrase_of(arguments)).verifying_key
    write_verifying_key(key, arguments.path)
    if arguments.json:
        output.document(_value(key, verifying=arguments.path))
        return 0
    output.result(f"{arguments.path}: {key.algorithm} key {key.key_id.hex()}, public key: give it to whoever loads")
    return 0


def _refuse_what_does_not_apply(arguments: argparse.Namespace) -> None:
    instead = arguments.change_passphrase or arguments.public_of is not None
    wrong = {
        "--algorithm": arguments.algorithm is not None and instead,
        "--no-passphrase": arguments.no_passphrase and arguments.public_of is not None,
        "--old-passphrase-env": arguments.old_passphrase_env is not None and not arguments.change_passphrase,
    }
    for option in filter(wrong.get, wrong):
        raise UsageError(f"argument {option}: does not go with what is asked for", hint="see safemodel keygen --help")


def _new_passphrase(arguments: argparse.Namespace) -> str | Literal[False] | None:
    return False if arguments.no_passphrase else passphrase_of(arguments)


def _value(
    key: safemodel.VerifyingKey, private: str | None = None, verifying: str | None = None
) -> dict[str, str | None]:
    return {
        "algorithm": key.algorithm,
        "key_id": key.key_id.hex(),
        "private_key": private,
        "verifying_key": verifying,
    }


def _pair(private: str, public: str) -> list[tuple[str, str]]:
    return [(private, "private key: signs; keep it secret"), (public, "public key: verifies; give it to whoever loads")]
