"""The artifact's bytes: opened once, read fully or refused."""

import io
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from safemodel.errors import FormatError
from safemodel.format import source as source_module
from safemodel.format.source import Source, open_source

CONTENT = bytes(range(256)) * 40


class Pathlike:
    def __init__(self, path: Any) -> None:
        self._path = path

    def __fspath__(self) -> Any:
        return self._path


class Dribble(io.BytesIO):
    """Gives at most seven bytes at a time, as a socket would."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(7, 7 if size is None or size < 0 else size))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "churn.safemodel"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["path", "text path", "file", "bytes in memory", "dribble"])
def source(request: pytest.FixtureRequest, path: Path) -> Any:
    kinds: dict[str, Any] = {
        "path": path,
        "text path": str(path),
        "file": path.open("rb"),
        "bytes in memory": io.BytesIO(CONTENT),
        "dribble": Dribble(CONTENT),
    }
    with kinds["file"], open_source(kinds[request.param]) as source:
        yield source


class TestReading:
    def test_knows_the_size(self, source: Source) -> None:
        assert source.size == len(CONTENT)

    @pytest.mark.parametrize(("offset", "length"), [(0, 10), (0, 10240), (10239, 1), (0, 0), (10240, 0), (5000, 5000)])
    def test_returns_exactly_what_is_there(self, source: Source, offset: int, length: int) -> None:
        assert source.read(offset, length) == CONTENT[offset : offset + length]

    @pytest.mark.parametrize(
        ("offset", "length"), [(0, 10241), (10240, 1), (10241, 0), (-1, 1), (0, 2**60), (2**70, 1), (2**70, 0)]
    )
    def test_refuses_what_is_not_there(self, source: Source, offset: int, length: int) -> None:
        with pytest.raises(FormatError):
            source.read(offset, length)

    def test_reads_in_pieces(self, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(source_module, "READ_SIZE", 100)
        assert source.read(3, 9000) == CONTENT[3:9003]

    def test_threads_do_not_disturb_each_other(self, source: Source) -> None:
        wrong: list[int] = []

        def read(value: int) -> None:
            wrong.extend(value for _ in range(200) if source.read(value + 256, 2)[0] != value)

        threads = [threading.Thread(target=read, args=(value,)) for value in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestPaths:
    @pytest.mark.parametrize(
        ("name", "stem"),
        [
            ("churn.safemodel", "churn"),
            ("churn-1.4.0.safemodel", "churn-1.4.0"),
            ("churn.bin", "churn.bin"),
            ("churn", "churn"),
        ],
    )
    def test_the_stem_is_the_name_that_was_given(self, tmp_path: Path, name: str, stem: str) -> None:
        (tmp_path / "blob").write_bytes(CONTENT)
        (tmp_path / name).symlink_to("blob")
        with open_source(tmp_path / name) as source:
            assert source.stem == stem
            assert source.label == str(tmp_path / name)

    def test_holds_the_file_that_was_opened(self, path: Path) -> None:
        with open_source(path) as source:
            path.unlink()
            path.write_bytes(b"another")
            assert source.read(0, len(CONTENT)) == CONTENT

    def test_the_size_is_that_of_the_opening(self, path: Path) -> None:
        with open_source(path) as source:
            with path.open("ab") as file:
                file.write(b"more")
            assert source.size == len(CONTENT)
            with pytest.raises(FormatError):
                source.read(len(CONTENT), 4)

    def test_says_that_the_file_became_shorter(self, path: Path) -> None:
        path.write_bytes(CONTENT * 10)  # of which the last part is read at once
        with open_source(path) as source:
            os.truncate(path, 100)
            assert source.read(0, 100) == CONTENT[:100]
            with pytest.raises(FormatError):
                source.read(0, 101)

    def test_reads_nothing_once_closed(self, path: Path) -> None:
        source = open_source(path)
        source.close()
        source.close()
        with path.open("rb"), pytest.raises(ValueError, match="closed"):  # its descriptor's number may be in use again
            source.read(0, 1)

    def test_refuses_a_folder_and_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(IsADirectoryError):
            open_source(tmp_path)
        with pytest.raises(OSError, match="regular"):
            open_source(tmp_path / "pipe")


class TestFileObjects:
    def test_the_whole_object_is_read_and_left_open(self) -> None:
        file = io.BytesIO(CONTENT)
        file.seek(1000)
        with open_source(file) as source:
            assert (source.size, source.stem, source.label) == (len(CONTENT), None, "<BytesIO>")
            assert source.read(0, 10) == CONTENT[:10]
        assert not file.closed

    def test_says_that_it_became_shorter(self) -> None:
        file = io.BytesIO(CONTENT)
        source = open_source(file)
        file.truncate(100)
        with pytest.raises(FormatError):
            source.read(0, 101)

    @pytest.mark.parametrize("answer", [None, "text", b"longer than asked"])
    def test_an_object_that_breaks_the_protocol_is_an_oserror(
        self, monkeypatch: pytest.MonkeyPatch, answer: object
    ) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1, /) -> Any:
                return answer if size else b""

        with pytest.raises(OSError, match="protocol"):
            open_source(Broken(CONTENT)).read(0, 4)

    def test_refuses_text_and_pipes(self, path: Path) -> None:
        with path.open(encoding="latin-1") as text, pytest.raises(TypeError):
            open_source(text)  # type: ignore[arg-type]
        reading, writing = os.pipe()
        os.close(writing)
        with open(reading, "rb") as pipe, pytest.raises(TypeError):
            open_source(pipe)

    def test_passes_the_error_of_a_file_that_is_only_written(self, path: Path) -> None:
        with path.open("wb") as file, pytest.raises(OSError, match="read"):
            open_source(file)


@pytest.mark.parametrize("wrong", [None, 3, 2.5, b"churn.safemodel", bytearray(b"PK"), [], Pathlike(b"a"), object()])
def test_anything_else_is_a_type_error(wrong: BinaryIO) -> None:
    with pytest.raises(TypeError):
        open_source(wrong)


def test_a_path_object_of_any_kind_will_do(path: Path) -> None:
    with open_source(Pathlike(str(path))) as source:
        assert source.stem == "churn"
