"""`safemodel keygen`: make a key."""

import argparse
import shlex
from typing import TYPE_CHECKING, Final, Literal

import safemodel
from safemodel.cli import output
from safemodel.cli.options import add_json, add_passphrase, completing_files, passphrase_of

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_ALGORITHMS: Final = {"ed25519": "ed25519", "ecdsa-p256": "ecdsa-p256-sha256", "hmac-sha256": "hmac-sha256"}

_EPILOG: Final = """\
PATH is the private key: it signs, and stays with you. PATH.pub is the public key: whoever loads your
models needs it, and should get it from you rather than from where the models lie.
An hmac-sha256 key is PATH alone, is not encrypted, and whoever can verify with it can also sign.

examples:
  safemodel keygen release.key                                    asks for a passphrase, twice
  safemodel keygen release.key --passphrase-env RELEASE_SECRET    takes it from a variable
  safemodel keygen ci.key --no-passphrase                         for where a secret store guards the file

--json:
  {"algorithm", "key_id", "private_key", "verifying_key"}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "keygen", help="make a key pair", description="Make a key pair: PATH and PATH.pub.", epilog=_EPILOG
    )
    completing_files(parser.add_argument("path", metavar="PATH", help="file of the private key; never overwritten"))
    parser.add_argument("--algorithm", choices=_ALGORITHMS, default="ed25519", help="default: ed25519")
    passphrase = parser.add_mutually_exclusive_group()
    passphrase.add_argument("--no-passphrase", action="store_true", help="leave the private key unencrypted")
    add_passphrase(passphrase)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the key, and say what to do with it."""
    passphrase: str | Literal[False] | None = False if arguments.no_passphrase else passphrase_of(arguments)
    key = safemodel.generate_keyfile(arguments.path, algorithm=_ALGORITHMS[arguments.algorithm], passphrase=passphrase)
    shared = arguments.algorithm == "hmac-sha256"
    verifying = arguments.path if shared else f"{arguments.path}.pub"
    if arguments.json:
        output.document(
            {
                "algorithm": key.algorithm,
                "key_id": key.key_id.hex(),
                "private_key": arguments.path,
                "verifying_key": verifying,
            }
        )
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


def _pair(private: str, public: str) -> list[tuple[str, str]]:
    return [(private, "private key: signs; keep it secret"), (public, "public key: verifies; give it to whoever loads")]
