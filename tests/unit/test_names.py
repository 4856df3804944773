"""Names and versions are checked, never repaired."""

import pytest

from safemodel.errors import FormatError
from safemodel.format.names import check_model_name, check_model_version


@pytest.mark.parametrize("name", ["churn", "acme/churn", "a/b/c", "a.b_c-d/9", "x", "a" * 128])
def test_names(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Churn", "acme//churn", "/churn", "churn/", "a b", "-a", "a-", ".a", "a.", "_a", "é", "a\n", "a" * 129],
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(FormatError):
        check_model_name(name)


@pytest.mark.parametrize("version", ["1", "1.4.0", "2.0rc1", "1.0.post2", "1.0.dev3"])
def test_versions(version: str) -> None:
    assert check_model_version(version) == version


@pytest.mark.parametrize("version", ["", "v1", "1.0+local", "1!2.0", "1.0-rc1", "latest", " 1.0", "01.0", "1" * 5000])
def test_what_is_no_normalised_public_version(version: str) -> None:
    with pytest.raises(FormatError):
        check_model_version(version)
