"""The Action's steps, run as they are written, in repositories on disk."""

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import KeyPair
    from recipes.conftest import Repository
    from recipes.runner import Action, Outcome

    MakeRepository = Callable[[str], Repository]

NOT_TRUSTED, UNUSABLE = 1, 4
UPLOAD = "github/codeql-action/upload-sarif"


def event(repository: "Repository", name: str = "pull_request", **more: str) -> dict[str, str]:
    """What GitHub says of a change that would go into `main`."""
    owner, project = repository.folder.parts[-2:]
    return {
        "github.server_url": f"file://{repository.folder.parents[1]}",
        "github.repository": f"{owner}/{project}",
        "github.event_name": name,
        "github.ref": "refs/pull/1/merge" if name == "pull_request" else "refs/heads/main",
        "github.event.pull_request.base.ref": "main" if name == "pull_request" else "",
        "github.event.repository.default_branch": "main",
        "github.token": "token-of-the-job",
    } | more


def check(action: "Action", repository: "Repository", **inputs: str) -> "Outcome":
    return action.run(repository.folder, event(repository), **inputs)


@pytest.fixture
def service(make_repository: "MakeRepository", release: "KeyPair") -> "Repository":
    """A repository with a trust folder, into which each test's change goes."""
    repository = make_repository("acme/service")
    repository.trust(release)
    repository.commit()
    return repository


class TestPolicy:
    def test_one_revocation_in_a_central_repository_shuts_a_key_out_of_two_others(
        self, action: "Action", make_repository: "MakeRepository", release: "KeyPair"
    ) -> None:
        central = make_repository("acme/model-policy")
        central.trust(release)
        central.commit()
        services = [make_repository("acme/one"), make_repository("acme/two")]
        for each in services:
            each.model(release)
            each.commit()
        before = [check(action, each, policy_repository="acme/model-policy") for each in services]
        assert [done.exit_code for done in before] == [0, 0]
        central.revoke(release)
        central.commit()
        after = [check(action, each, policy_repository="acme/model-policy") for each in services]
        assert [done.exit_code for done in after] == [NOT_TRUSTED, NOT_TRUSTED]
        assert [done.used for done in after] == [["actions/setup-python", UPLOAD]] * 2

    def test_a_change_of_keys_and_a_model_is_judged_by_the_old_keys(
        self, action: "Action", service: "Repository", stranger: "KeyPair"
    ) -> None:
        before = service.git("rev-parse", "HEAD")
        service.git("switch", "--quiet", "--create", "change")
        service.git("rm", "-r", "--quiet", "keys")
        service.trust(stranger)
        service.model(stranger)
        service.commit()
        assert check(action, service).exit_code == NOT_TRUSTED
        service.git("switch", "--quiet", "main")
        service.git("merge", "--quiet", "change")
        pushed = event(service, "push", **{"github.event.before": before})
        assert action.run(service.folder, pushed).exit_code == NOT_TRUSTED
        assert check(action, service).exit_code == 0  # by keys that were merged before

    def test_a_change_that_is_older_than_a_revocation_is_judged_by_it(
        self, action: "Action", service: "Repository", release: "KeyPair"
    ) -> None:
        service.git("switch", "--quiet", "--create", "change")
        service.model(release)
        service.commit()
        assert check(action, service).exit_code == 0
        service.git("switch", "--quiet", "main")
        service.revoke(release)
        service.commit()
        service.git("switch", "--quiet", "change")
        assert check(action, service).exit_code == NOT_TRUSTED

    def test_a_merge_queue_and_a_schedule_use_the_branch(
        self, action: "Action", service: "Repository", stranger: "KeyPair"
    ) -> None:
        service.git("switch", "--quiet", "--create", "queue")
        service.git("rm", "-r", "--quiet", "keys")
        service.trust(stranger)
        service.model(stranger)
        service.commit()
        base = {"github.event.merge_group.base_ref": "refs/heads/main", "github.ref": "refs/heads/queue"}
        assert action.run(service.folder, event(service, "merge_group", **base)).exit_code == NOT_TRUSTED
        assert action.run(service.folder, event(service, "schedule")).exit_code == NOT_TRUSTED

    def test_another_branch_of_a_push_has_no_policy_of_its_own(
        self, action: "Action", service: "Repository", stranger: "KeyPair"
    ) -> None:
        service.git("switch", "--quiet", "--create", "side")
        service.git("rm", "-r", "--quiet", "keys")
        service.trust(stranger)
        service.model(stranger)
        before = service.commit()
        pushed = event(service, "push", **{"github.event.before": before, "github.ref": "refs/heads/side"})
        assert action.run(service.folder, pushed).exit_code == NOT_TRUSTED

    @pytest.mark.parametrize(
        "inputs",
        [
            {"trust": "missing"},
            {"trust": "README"},
            {"baseline": "missing"},
            {"policy_repository": "acme/missing"},
            {"policy_repository": "acme/service", "policy_ref": "missing"},
        ],
    )
    def test_without_its_policy_nothing_passes(
        self, action: "Action", service: "Repository", inputs: dict[str, str]
    ) -> None:
        (service / "README").touch()
        service.commit()
        done = check(action, service, **inputs)
        assert done.exit_code == UNUSABLE
        assert UPLOAD not in done.used

    def test_without_a_trust_folder_nobody_is_verified(
        self, action: "Action", service: "Repository", release: "KeyPair"
    ) -> None:
        service.model(release)
        assert "verified" in check(action, service).shown
        assert "verified" not in check(action, service, trust="").shown

    def test_a_baseline_comes_with_the_policy(
        self, action: "Action", service: "Repository", stranger: "KeyPair"
    ) -> None:
        model = service.model(stranger)
        accepted = {"path": model.name, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()}
        lines = ["version = 1", "[[accepted]]", 'verdict = "not-trusted"', 'reason = "of the old team"']
        lines += [f'{name} = "{value}"' for name, value in accepted.items()]
        (service / "accepted.toml").write_text("\n".join(lines))
        service.git("switch", "--quiet", "--create", "change")
        service.commit()
        assert check(action, service, baseline="accepted.toml").exit_code == UNUSABLE
        service.git("switch", "--quiet", "main")
        service.git("merge", "--quiet", "change")
        assert check(action, service).exit_code == NOT_TRUSTED
        assert check(action, service, baseline="accepted.toml").exit_code == 0


class TestHostileTree:
    def test_no_module_of_the_tree_is_imported(
        self,
        action: "Action",
        service: "Repository",
        release: "KeyPair",
        hostile: Callable[[Path], Path],
        tmp_path: Path,
    ) -> None:
        service.model(release)
        for number in range(250):  # so many that processes share them
            (service / f"{number}.txt").touch()
        canary = hostile(service.folder)
        exposed = {"PYTHONPATH": str(service.folder), "PYTHONSTARTUP": str(service / "json.py")}
        made = type(action)(action.checkout, tmp_path, {**action.environment, **exposed})
        assert made.step("Install safemodel", service.folder, {}).exit_code == 0
        assert check(made, service).exit_code == 0
        assert not canary.exists()

    def test_names_of_branches_and_files_are_no_commands(
        self, action: "Action", service: "Repository", release: "KeyPair"
    ) -> None:
        canary = "$(touch${IFS}canary)"
        service.git("switch", "--quiet", "--create", canary)
        names = [f"{canary}.safemodel", "-x.safemodel", "--allow=posix.system.safemodel"]
        for name in names:
            service.model(release, name)
        service.commit()
        base = {"github.event.pull_request.base.ref": canary}
        done = action.run(service.folder, event(service, **base), paths="\n".join(names))
        assert done.exit_code == NOT_TRUSTED  # the model has another name
        assert [name for name in names if name not in done.shown] == []
        assert not (service / "canary").exists()

    def test_no_command_of_the_runner_is_taken_from_a_name(
        self, action: "Action", service: "Repository", stranger: "KeyPair"
    ) -> None:
        service.model(stranger, "::notice::verified.safemodel")
        lines = check(action, service).shown.splitlines()
        stop, resume = lines[0], lines[-1]
        token = stop.removeprefix("::stop-commands::")
        assert stop != token
        assert len(token) == 32
        assert resume == f"::{token}::"
        assert token != check(action, service).shown.splitlines()[0].removeprefix("::stop-commands::")


class TestToken:
    @pytest.fixture
    def asked(self) -> Iterator[tuple[str, list[str | None]]]:
        """A host that has no repository, its URL, and with what it was asked."""
        headers: list[str | None] = []

        class Host(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers.append(self.headers.get("Authorization"))
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Host) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}", headers
            server.shutdown()
            thread.join()

    def test_goes_to_the_repository_with_the_policy(
        self, action: "Action", service: "Repository", asked: tuple[str, list[str | None]]
    ) -> None:
        url, headers = asked
        done = action.run(service.folder, event(service, **{"github.server_url": url}))
        assert done.exit_code == UNUSABLE
        credentials = base64.b64encode(b"x-access-token:token-of-the-job").decode()
        assert headers[0] == f"basic {credentials}"
        assert credentials not in done.shown
        assert "token-of-the-job" not in done.shown

    def test_that_of_the_job_goes_to_no_other_host(
        self, action: "Action", service: "Repository", asked: tuple[str, list[str | None]]
    ) -> None:
        url, headers = asked
        assert check(action, service, policy_repository=f"{url}/acme/model-policy").exit_code == UNUSABLE
        assert set(headers) == {None}
        check(action, service, policy_repository=f"{url}/acme/model-policy", policy_token="another")
        assert headers[-1] == f"basic {base64.b64encode(b'x-access-token:another').decode()}"
