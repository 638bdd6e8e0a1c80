"""The readers keep their promise on the kept seeds and on a short run of the fuzzer; `make fuzz` runs it for longer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from model_zoo import formats
from model_zoo.errors import InputError
from model_zoo.loading import load_file

FOLDER = Path(__file__).parent / "fuzz"


def load_fuzzer():
    specification = importlib.util.spec_from_file_location("fuzz_readers", FOLDER / "fuzz_readers.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


fuzzer = load_fuzzer()


@pytest.fixture(autouse=True)
def one_layer_is_enough(monkeypatch):
    monkeypatch.setattr(formats, "FEWEST_CONVOLUTIONS", 1)


@pytest.mark.parametrize("form", [form for form in fuzzer.FORMATS if form != "h5"])
def test_a_second_of_fuzzing_breaks_no_promise(form):
    summary = list(fuzzer.fuzz(form, seconds=1.0, seed=0))
    assert len(summary) == 1 and summary[0].endswith(" 0 failures"), summary


@pytest.mark.parametrize("path", sorted((FOLDER / "seeds").iterdir()), ids=lambda path: path.name)
def test_every_kept_seed_is_a_file_that_is_read(path):
    if path.suffix == ".h5":
        pytest.importorskip("h5py")
    assert set(load_file(path).parameters) == {"conv1_1_weight", "conv1_1_bias"}


def test_the_fuzzer_notices_a_reader_that_breaks_its_promise(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzer, "FOUND", tmp_path)

    def broken(path):
        raise KeyError("a bug")

    monkeypatch.setitem(formats.READERS, ".params", broken)
    *failures, summary = fuzzer.fuzz("params", seconds=0.0, seed=0)
    assert failures and "KeyError: 'a bug'" in failures[0] and not summary.endswith(" 0 failures")
    assert len(list(tmp_path.iterdir())) == len(failures)

    def vague(path):
        raise InputError("two\nlines")

    monkeypatch.setattr(fuzzer, "load_file", vague)
    assert "not one line" in next(fuzzer.fuzz("params", seconds=0.0, seed=0))
