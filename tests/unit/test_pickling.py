"""What `pickle_into` writes, how it writes it, and what it says of a model that cannot be stored."""

import gc
import io
import pickle
import pickletools
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from joblib.compressor import BinaryZlibFile
from sameness import difference

from safemodel.errors import PayloadError
from safemodel.payload.joblibstream import JoblibStream, Outlet
from safemodel.payload.pickling import pickle_into

MIB = 1024 * 1024


def pickled(value: object) -> bytes:
    stream = io.BytesIO()
    pickle_into(value, stream.write)
    return stream.getvalue()


def loaded(stream: bytes) -> Any:
    return joblib.load(io.BytesIO(stream))


def stored_by_joblib(value: object) -> bytes:
    stream = io.BytesIO()
    joblib.dump(value, stream)
    return stream.getvalue()


class Holder:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("empty", "held")

    def __init__(self, held: object) -> None:
        self.held = held


class Recorder(Holder):
    """Its state is another than its attributes."""

    def __getstate__(self) -> dict[Any, Any]:
        return {0: "not an attribute", "made": [threading.Lock()]}


class Refusing:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getstate__(self) -> None:
        raise self.error


class Renamed:
    pass


original = Renamed


def unnamed(value: int) -> int:
    return value


def local_class() -> Any:
    class Local:
        pass

    return Local


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def array_of(*items: object) -> Any:
    array = np.empty(len(items), object)
    array[:] = items
    return array


# What is written


@pytest.mark.parametrize(
    "array",
    [
        np.array(["2020-01-01", "NaT"], "M8[D]"),
        np.arange(6, dtype=np.float16).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(24)[::5],
        np.arange(6, dtype=">i4"),
        np.array(3.5),
        np.empty((0, 3)),
        np.array([b"ab", b"c"]),
        np.array([(1, 2.5)], [("a", "i1"), ("b", "f8")]),
        np.zeros(3, "V7"),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_an_array_is_what_joblib_would_load(array: Any) -> None:
    ours, theirs = loaded(pickled(array)), loaded(stored_by_joblib(array))
    assert (type(ours), ours.dtype, ours.shape) == (type(theirs), theirs.dtype, theirs.shape)
    assert ours.strides == theirs.strides or not theirs.size
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize(
    "array",
    [np.array([[1, None], ["x", [2]]], object), np.array([(1, [2])], [("a", "i4"), ("b", "O")])],
    ids=["objects", "structure"],
)
def test_objects_are_a_stream_of_their_own(array: Any) -> None:
    stream = pickled([array, "after"])
    restored, after = loaded(stream)
    assert (restored.dtype, restored.tolist(), after) == (array.dtype, array.tolist(), "after")
    assert pickle.dumps(array, protocol=5) in stream


def test_numeric_arrays_among_objects_pass_as_they_are() -> None:
    restored = loaded(pickled(array_of(np.arange(30_000), bytearray(70_000), "x" * 70_000)))
    assert restored[0].tolist() == list(range(30_000))
    assert (restored[1], restored[2]) == (bytearray(70_000), "x" * 70_000)


@pytest.mark.parametrize("kind", [np.matrix, np.ma.MaskedArray, np.recarray])
def test_subclasses_are_treated_as_by_joblib(kind: type) -> None:
    array: Any = np.ones((2, 2), [("a", "f8")] if kind is np.recarray else "f8").view(kind)
    ours, theirs = loaded(pickled(array)), loaded(stored_by_joblib(array))
    assert type(ours) is type(theirs)
    assert ours.tolist() == theirs.tolist()


def test_a_memory_map_becomes_an_array(tmp_path: Path) -> None:
    mapped: Any = np.memmap(tmp_path / "numbers", "i4", "w+", shape=(4, 4))
    mapped[:] = np.arange(16).reshape(4, 4)
    restored = loaded(pickled([mapped, mapped.T, mapped[::2]]))
    assert [type(array) for array in restored] == [np.ndarray] * 3
    assert [array.tolist() for array in restored] == [mapped.tolist(), mapped.T.tolist(), mapped[::2].tolist()]


def test_an_array_met_twice_is_one_array() -> None:
    shared: Any = np.arange(1000)
    others = [np.arange(number) for number in range(300)]
    stream = pickled({"a": shared, "others": others, "b": shared, "c": "a", "d": others[299]})
    restored = loaded(stream)
    assert restored["a"] is restored["b"]
    assert restored["d"] is restored["others"][299]
    assert [array.tolist() for array in restored["others"]] == [list(range(number)) for number in range(300)]
    assert stream.count(shared.tobytes()) == 1


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", ["f8", ">i4", "U3", "M8[D]", "i1,f8", ">i2,f8", object])
def test_many_arrays_without_items_are_what_joblib_would_load(dtype: Any, order: Any) -> None:
    arrays = [np.empty((0, number, 2), dtype, order) for number in range(30)]
    value = {"arrays": arrays, "last": arrays[-1]}
    stream = pickled(value)
    ours, theirs = loaded(stream), loaded(stored_by_joblib(value))
    assert difference(ours, theirs) is None
    assert ours["last"] is ours["arrays"][-1]
    assert all(array.flags.writeable for array in ours["arrays"])


@pytest.mark.parametrize("number", range(1, 20))
def test_arrays_without_items_make_it_smaller(number: int) -> None:
    value = [np.empty((0, 8)) for _ in range(number)]
    assert len(pickled(value)) < len(stored_by_joblib(value)) - 30 * number


def test_an_array_in_the_dtype_of_an_array_keeps_its_place() -> None:
    dtype = np.dtype("f8", metadata={"scale": np.arange(3)})
    value = [np.full(2, 1.5, dtype), np.arange(4), np.full(5, 2.5, dtype)]
    assert [array.tolist() for array in loaded(pickled(value))] == [array.tolist() for array in value]


def test_the_wrapper_is_byte_for_byte_joblibs() -> None:
    array = np.arange(3)
    ours, theirs = pickled(array), stored_by_joblib(array)
    build = theirs.index(pickle.SETITEMS + pickle.BUILD) + 2
    frame = slice(2, 11)  # after PROTO
    assert ours.startswith(theirs[: frame.start] + theirs[frame.stop : build])


def test_there_are_no_frames() -> None:
    stream = pickled([f"{number:>40}" for number in range(10_000)])
    assert "FRAME" not in {opcode.name for opcode, _, _ in pickletools.genops(stream)}


@pytest.mark.parametrize("size", [65_535, 65_536, 3 * MIB])
@pytest.mark.parametrize("fill", [b"\x95", b"."])
def test_large_objects_that_look_like_opcodes_pass(size: int, fill: bytes) -> None:
    value = [fill * size, np.arange(3), fill.decode("latin-1") * size, b"", fill * size]
    restored = loaded(pickled(value))
    assert restored[1].tolist() == [0, 1, 2]
    assert [restored[number] for number in (0, 2, 3, 4)] == [value[number] for number in (0, 2, 3, 4)]


def test_arrays_can_be_mapped_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    path.write_bytes(pickled({"a": np.arange(100), "b": np.ones((3, 3), order="F")}))
    restored = joblib.load(path, mmap_mode="r")
    assert [type(array) for array in restored.values()] == [np.memmap] * 2
    assert all(array.offset % 16 == 0 for array in restored.values())


def test_a_compressor_can_take_the_stream() -> None:
    file = io.BytesIO()
    with BinaryZlibFile(file, "wb", compresslevel=3) as compressor:
        pickle_into([np.zeros(MIB), "x"], compressor.write)
    assert len(file.getvalue()) < MIB
    assert loaded(file.getvalue())[0].shape == (MIB,)


# How it is written


@pytest.mark.parametrize(
    "array",
    [np.zeros(5 * MIB, np.uint8), np.zeros((1024, 10 * 1024), np.uint8)[:, ::2], np.zeros((MIB, 3), "i1").T],
    ids=["contiguous", "with gaps", "Fortran's order"],
)
def test_arrays_are_written_in_blocks_without_a_copy_of_the_whole(array: Any) -> None:
    sizes: list[int] = []
    pickled(array)  # so that what is imported and cached is there already
    tracemalloc.start()
    try:
        pickle_into(array, lambda data: sizes.append(len(data)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert max(sizes) <= MIB
    assert array.nbytes <= sum(sizes) < array.nbytes + 500
    assert peak < 3 * MIB


def test_small_pieces_are_written_together() -> None:
    sizes: list[int] = []
    pickle_into([np.arange(8) for _ in range(5000)], lambda data: sizes.append(len(data)))
    assert len(sizes) <= 2 + sum(sizes) // (64 * 1024)


def test_the_model_is_neither_changed_nor_kept() -> None:
    gc.disable()
    try:
        model = Holder(weights=np.arange(5), terms=OrderedDict(a=1), objects=array_of("x", None))
        before = pickle.dumps(model)
        pickled(model)
        assert pickle.dumps(model) == before
        watch = weakref.ref(model)
        del model
        assert watch() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [OSError("disk full"), ZeroDivisionError(), PayloadError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("value", [["x"], np.zeros(MIB), array_of("x" * 70_000)], ids=["opcodes", "array", "objects"])
def test_what_write_raises_passes_unchanged(error: BaseException, value: object) -> None:
    def write(data: bytes | memoryview) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        pickle_into(value, write)
    assert caught.value is error


def test_a_pickler_that_skips_the_marks_is_noticed() -> None:
    stream = JoblibStream(Outlet(len), lambda array, outlet: None)
    stream.announce(np.arange(3))
    with pytest.raises(PayloadError):
        stream.finish()


def test_joblib_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "safemodel.payload.modelpickler")
    monkeypatch.setitem(sys.modules, "joblib.numpy_pickle", None)
    with pytest.raises(PayloadError) as caught:
        pickled([])
    assert "sklearn" in caught.value.hint


# What cannot be stored


class Base:
    """Becomes a class of a framework that is not installed."""


@pytest.fixture
def network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    module, name = request.param
    base = type(name, (Base,), {"__module__": module})
    return type("Network", (base,), {"__module__": __name__})()


@pytest.mark.parametrize(
    ("network", "format_name"),
    [
        (("torch.nn.modules.module", "Module"), "safetensors"),
        (("torch", "Tensor"), "safetensors"),
        (("keras.src.layers.layer", "Layer"), ".keras"),
        (("tf_keras.src.engine.training", "Model"), ".keras"),
        (("tensorflow.python.module.module", "Module"), ".keras"),
    ],
    indirect=["network"],
)
def test_networks_are_refused_and_their_formats_named(network: object, format_name: str) -> None:
    with pytest.raises(PayloadError) as caught:
        pickled(Holder(steps=[("scale", None), ("network", network)]))
    assert caught.value.args[0].startswith("steps[1][1] is ")
    assert format_name in caught.value.hint


def lock_after(count: int) -> dict[Any, Any]:
    return dict.fromkeys(range(count)) | {"lock": threading.Lock()}


def offenders() -> Iterator[tuple[str, object, str]]:
    local, generator = local_class(), (number for number in range(3))
    yield "lambda", Holder(steps=[("a", 1), ("f", Holder(func=lambda x: x))]), "steps[1][1].func"
    yield "local class", Holder(a=Holder(b=local)), "a.b"
    yield "instance of a local class", Holder(a=[local()]), "a[0]"
    yield "partial of a lambda", Holder(a=partial(lambda x: x)), "a.func"
    yield "lock in a slot", Holder(a=Slotted(threading.RLock())), "a.held"
    yield "lock in a dict", {"a": lock_after(3)}, "['a']['lock']"
    yield "lock under another key", {(1, 2): threading.Lock()}, "[...]"
    yield "lock in a state of its own", Holder(a=Recorder()), "a.made[0]"
    yield "lock in an attribute of a dict", Holder(a=_dict_with(threading.Lock())), "a.lock"
    yield "file", Holder(log=sys.__stdout__), "log"
    yield "generator", (1, generator), "[1]"
    yield "module", Holder(a={1: sys}), "a[1]"
    yield "object array", Holder(a=np.array([[None, None], [None, [generator]]], object)), "a[1, 1][0]"
    yield "structured array", Holder(a=np.array([(1, generator)], [("n", "i4"), ("o", "O")])), "a"
    yield "error in __getstate__", Holder(a=Holder(b=Refusing(ValueError("secret")))), "a.b"
    yield "file missing in __getstate__", Refusing(FileNotFoundError()), "the model"
    yield "set", Holder(a={generator}), "a"
    yield "items without size", Holder(a=np.zeros(2), b=np.empty(3, np.dtype([]))), "b"


class _Dict(dict[Any, Any]):
    lock: Any


def _dict_with(lock: object) -> _Dict:
    value = _Dict(a=1)
    value.lock = lock
    return value


@pytest.mark.parametrize(("value", "path"), [pytest.param(*rest, id=name) for name, *rest in offenders()])
def test_the_path_to_what_cannot_be_stored_is_named(value: object, path: str) -> None:
    with pytest.raises(PayloadError) as caught:
        pickled(value)
    assert caught.value.args[0].startswith((f"{path} is ", f"{path} holds "))
    assert caught.value.hint
    assert caught.value.__cause__ is not None
    assert "secret" not in str(caught.value)


def test_a_class_that_was_defined_again_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = Holder(step=original())
    monkeypatch.setitem(globals(), "Renamed", type("Renamed", (), {}))
    with pytest.raises(PayloadError) as caught:
        pickled(model)
    assert "model.step.__class__" in caught.value.hint
    model.step.__class__ = globals()["Renamed"]
    assert type(loaded(pickled(model)).step) is globals()["Renamed"]


def test_deep_nesting_is_an_error_of_ours() -> None:
    with pytest.raises(PayloadError) as caught:
        pickled(nested(10_000))
    assert isinstance(caught.value.__cause__, RecursionError)


def test_a_failure_too_deep_for_pythons_pickler_has_no_path() -> None:
    with pytest.raises(PayloadError) as caught:
        pickled([nested(300), threading.Lock()])
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_failure_that_does_not_repeat_has_no_path() -> None:
    class Fickle:
        failed = False

        def __reduce__(self) -> Any:
            if not Fickle.failed:
                Fickle.failed = True
                raise ValueError
            return int, ()

    with pytest.raises(PayloadError) as caught:
        pickled(Fickle())
    assert isinstance(caught.value.__cause__, ValueError)


def test_running_out_of_memory_is_not_the_models_fault() -> None:
    with pytest.raises(MemoryError):
        pickled(Refusing(MemoryError()))


@pytest.mark.parametrize("module", ["__main__", "__mp_main__"])
def test_names_of_main_are_refused(module: str) -> None:
    clip = type("Clip", (), {"__module__": module})
    for model, target in ((Holder(a=[clip()]), "model.a[0].__class__"), (Holder(a=[clip]), "model.a[0]")):
        with pytest.raises(PayloadError) as caught:
            pickled(model)
        assert f"set {target} to it" in caught.value.hint


MAIN = """
import sys
from pathlib import Path
from safemodel.errors import PayloadError
from safemodel.payload.pickling import pickle_into

CLASS = '''
class Clip:
    def __init__(self, limit):
        self.limit = limit
    def predict(self, x):
        return min(x, self.limit)
'''
exec(CLASS)
def double(x): return 2 * x
class Model: pass

def hint(model):
    try:
        pickle_into(model, len)
    except PayloadError as error:
        return error.hint
    raise AssertionError("stored")

steps = [("clip", Clip(3)), ("double", double)]
assert "model[0][1].__class__" in hint(steps)
Path("acme_steps.py").write_text(CLASS + "def double(x): return 2 * x")
sys.path.insert(0, "")
import acme_steps
steps[0][1].__class__ = acme_steps.Clip
assert "model[1][1]" in hint(steps)
steps[1] = ("double", acme_steps.double)
with open("steps.joblib", "wb") as file:
    pickle_into(steps, file.write)
assert "__class__" not in hint([Clip]) and "__class__" not in hint(Clip)
"""


def test_the_advice_for_a_class_of_main_works_without_a_new_fit(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(MAIN)
    subprocess.run([sys.executable, script], check=True, cwd=tmp_path)
    use = "import sys; sys.path.insert(0, ''); import joblib; (_, clip), (_, double) = joblib.load('steps.joblib'); "
    use += "assert double(clip.predict(9)) == 6"
    subprocess.run([sys.executable, "-c", use], check=True, cwd=tmp_path)
