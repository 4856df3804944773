"""The GitLab template's job, run by each of its rules, in repositories on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from recipes.runner import Job

if TYPE_CHECKING:
    from conftest import KeyPair
    from recipes.conftest import Repository
    from recipes.runner import Outcome

    MakeRepository = Callable[[str], Repository]

TEMPLATE = Path(__file__).parents[2] / "examples" / "gitlab.yml"
MERGE_REQUEST, PUSH, SCHEDULE = range(3)
NOT_TRUSTED = 1


@pytest.fixture(scope="session")
def template(published: "Repository", surroundings: dict[str, str]) -> Job:
    """The job, after its part that installs."""
    commit = published.git("rev-parse", "HEAD")
    return Job.of(TEMPLATE, surroundings, SAFEMODEL_REPOSITORY=f"file://{published.folder}", SAFEMODEL_COMMIT=commit)


@pytest.fixture
def job(template: Job) -> Callable[..., "Outcome"]:
    """Run the job in a project, by one of its rules."""

    def run(project: "Repository", rule: int, **variables: str) -> "Outcome":
        url = f"file://{project.folder.parent / project.folder.stem}"
        predefined = {
            "CI_MERGE_REQUEST_PROJECT_URL": url,
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_PROJECT_URL": url,
            "CI_DEFAULT_BRANCH": "main",
            "CI_JOB_TOKEN": "token-of-the-job",
            "POLICY_REPOSITORY": "",
        }
        return template.run(rule, project.folder, predefined | variables)

    return run


def test_a_change_of_keys_and_a_model_is_judged_by_the_old_keys(
    job: Callable[..., "Outcome"], make_repository: "MakeRepository", release: "KeyPair", stranger: "KeyPair"
) -> None:
    project = make_repository("acme/service.git")
    project.trust(release)
    before = project.commit()
    project.git("switch", "--quiet", "--create", "change")
    project.git("rm", "-r", "--quiet", "keys")
    project.trust(stranger)
    project.model(stranger)
    (project / "safemodel.sarif").symlink_to(before)
    project.commit()
    done = job(project, MERGE_REQUEST)
    assert done.exit_code == NOT_TRUSTED, done.shown
    assert json.loads((project / "safemodel.sarif").read_text())["version"] == "2.1.0"
    assert not (project / before).exists()
    project.git("switch", "--quiet", "--force", "main")
    project.git("merge", "--quiet", "change")
    assert job(project, PUSH, CI_COMMIT_BEFORE_SHA=before).exit_code == NOT_TRUSTED
    assert job(project, SCHEDULE).exit_code == 0  # by keys that were merged before


def test_a_central_policy_counts_instead(
    job: Callable[..., "Outcome"], make_repository: "MakeRepository", release: "KeyPair", stranger: "KeyPair"
) -> None:
    central, project = make_repository("acme/model-policy"), make_repository("acme/service.git")
    central.trust(release)
    central.commit()
    project.trust(stranger)
    project.model(stranger)
    project.commit()
    policy = {"POLICY_REPOSITORY": f"file://{central.folder}"}
    assert job(project, MERGE_REQUEST, **policy).exit_code == NOT_TRUSTED
    project.model(release)
    assert job(project, MERGE_REQUEST, **policy).exit_code == 0
    central.revoke(release)
    central.commit()
    assert job(project, MERGE_REQUEST, **policy).exit_code == NOT_TRUSTED
