"""A run that was cut off goes on from its checkpoint with the same bits; any file but its checkpoint is refused."""

import json
from itertools import count

import numpy as np
import pytest
from small_transfer import small_config

from model_zoo.errors import InputError
from neural_style_mmd import Outcome, checkpoint, transfer

pytestmark = pytest.mark.usefixtures("small_network")


def run(pictures, path=None, until=None, **changes):
    """A transfer, interrupted after the iteration `until`."""

    def on_iterate(progress):
        if progress.iteration == until:
            raise KeyboardInterrupt

    return transfer(*pictures, small_config(**changes), checkpoint_path=path, on_iterate=on_iterate)


def trace(result):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in result.record["trace"]]


def assert_same(result, whole):
    np.testing.assert_array_equal(result.image, whole.image)
    assert trace(result) == trace(whole)
    for key in ("outcome", "iterations", "balance", "final", "output"):
        assert result.record[key] == whole.record[key]


@pytest.mark.parametrize(
    ("optimizer", "at"),
    [("sgd", 4), ("nag", 4), ("adam", 4), ("preconditioned-nag", 4), ("lbfgs", 7), ("lbfgs", 25), ("lbfgs", 29)],
)
def test_an_interrupted_run_goes_on_with_the_same_bits(optimizer, at, pictures, tmp_path):
    """The gaussian method, so that the random state counts; a reduction of the rate lies on either side."""
    choices = {"optimizer": optimizer, "method": ("gaussian", "poly"), "iterations": 33 if at > 6 else 9}
    choices["decay_every"] = 3
    whole = run(pictures, **choices)
    path = tmp_path / "run.checkpoint"
    first = run(pictures, path, until=at, **choices)
    assert first.outcome is Outcome.INTERRUPTED and first.record["iterations"] == at
    rest = run(pictures, path, **choices)
    assert_same(rest, whole)


@pytest.mark.parametrize(("at", "restart", "kept"), [(5, 4, 4), (9, 4, 8), (5, 100, None)])
def test_lbfgs_goes_on_from_where_it_forgot_its_steps(at, restart, kept, pictures, tmp_path):
    """Where it has not yet done so there is no checkpoint, and the run begins anew, with the same bits."""
    choices = {"optimizer": "lbfgs", "lbfgs_restart": restart, "iterations": 11}
    whole, path = run(pictures, **choices), tmp_path / "c"
    run(pictures, path, until=at, **choices)
    assert (checkpoint.load(path)[0].iteration if path.exists() else None) == kept
    assert_same(run(pictures, path, **choices), whole)


def test_a_run_may_be_cut_many_times(pictures, tmp_path):
    whole = run(pictures, iterations=8)
    for at in (2, 3, 7):
        run(pictures, tmp_path / "c", until=at, iterations=8)
    assert_same(run(pictures, tmp_path / "c", iterations=8), whole)


def test_a_run_that_was_killed_goes_on_from_the_last_written_state(pictures, tmp_path, monkeypatch):
    """Nothing is saved on the way out of an error in a callback, as nothing is when the machine goes down."""
    whole, path = run(pictures, iterations=9), tmp_path / "c"
    clock = count(step=7.0)  # each look at it takes seven seconds
    monkeypatch.setattr(checkpoint, "monotonic", lambda: next(clock))

    def on_iterate(progress):
        if progress.iteration == 7:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        transfer(*pictures, small_config(iterations=9), checkpoint_path=path, on_iterate=on_iterate)
    assert 0 < checkpoint.load(path)[0].iteration < 7
    assert_same(run(pictures, path, iterations=9), whole)


def test_it_is_written_at_most_every_thirty_seconds_and_at_the_end(pictures, tmp_path, monkeypatch):
    now, writes = [0.0], []
    monkeypatch.setattr(checkpoint, "monotonic", lambda: now[0])
    save = checkpoint.save

    def counted(path, state, about):
        writes.append((now[0], state.iteration))
        save(path, state, about)

    monkeypatch.setattr(checkpoint, "save", counted)

    def on_iterate(progress):
        now[0] += 10

    transfer(*pictures, small_config(iterations=8), checkpoint_path=tmp_path / "c", on_iterate=on_iterate)
    assert writes == [(30.0, 4), (60.0, 7), (80.0, 8)]
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_finished_run_is_not_repeated_but_may_be_prolonged(pictures, tmp_path):
    path, seen = tmp_path / "c", []
    done = run(pictures, path, iterations=4)
    again = transfer(*pictures, small_config(iterations=4), checkpoint_path=path, on_iterate=seen.append)
    assert seen == []
    assert_same(again, done)
    assert_same(run(pictures, path, iterations=7), run(pictures, iterations=7))


def test_a_diverged_run_can_be_saved_and_looked_at_again(pictures, tmp_path):
    result = run(pictures, tmp_path / "c", learning_rate=1e36, iterations=30)
    assert result.outcome is Outcome.DIVERGED
    again = run(pictures, tmp_path / "c", learning_rate=1e36, iterations=30)
    assert again.outcome is Outcome.DIVERGED
    np.testing.assert_array_equal(again.image, result.image)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"gamma": 2.0}, "gamma"),
        ({"method": ("bn",)}, "method"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"seed": 1}, "seed"),
        ({"layers": ("relu1_1",)}, "layers"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(change, named, pictures, tmp_path):
    path = tmp_path / "c"
    run(pictures, path, until=2)
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"checkpoint of another run: its {named} differs"):
        run(pictures, path, **change)
    assert path.read_bytes() == before


def test_the_file_of_the_start_may_lie_elsewhere_but_not_be_another(pictures, tmp_path):
    moved = tmp_path / "moved.png"
    moved.write_bytes(pictures[1].read_bytes())
    run(pictures, tmp_path / "c", until=2, init=str(pictures[1]))
    rest = run(pictures, tmp_path / "c", init=str(moved))
    assert_same(rest, run(pictures, init=str(pictures[1])))
    with pytest.raises(InputError, match="its inputs differs"):
        run(pictures, tmp_path / "c", init=str(pictures[0]))


def test_other_pictures_and_other_weights_are_another_run(pictures, tmp_path, network, monkeypatch):
    run(pictures, tmp_path / "c", until=2)
    with pytest.raises(InputError, match="its inputs differs"):
        run(pictures[::-1], tmp_path / "c")
    from dataclasses import replace

    other = replace(network, parameters={name: 2 * array for name, array in network.parameters.items()}, sha256="")
    monkeypatch.setattr("model_zoo.load", lambda name, **options: other)
    with pytest.raises(InputError, match="its weights differs"):
        run(pictures, tmp_path / "c")


def test_a_checkpoint_of_other_numerics_is_refused(pictures, tmp_path, monkeypatch):
    run(pictures, tmp_path / "c", until=2)
    monkeypatch.setattr("neural_style_mmd.record.NUMERICS_VERSION", 99)
    with pytest.raises(InputError, match="numerics_version differs"):
        run(pictures, tmp_path / "c")


def test_going_on_with_other_threads_is_noted(pictures, tmp_path, monkeypatch):
    run(pictures, tmp_path / "c", until=2)
    monkeypatch.setattr("neural_style_mmd.record.chosen_threads", lambda: 64)
    notes = run(pictures, tmp_path / "c").record["notes"]
    assert len(notes) == 1 and "another threads" in notes[0] and "iteration 2" in notes[0]


def test_a_start_from_a_file_is_another_run_than_one_from_noise(pictures, tmp_path):
    run(pictures, tmp_path / "c", until=2)
    with pytest.raises(InputError, match=r"checkpoint of another run: its init differs \(noise, now a file\)"):
        run(pictures, tmp_path / "c", init=str(pictures[1]))
    run(pictures, tmp_path / "d", until=2, init=str(pictures[1]))
    with pytest.raises(InputError, match=r"its init differs \(a file, now noise\)"):
        run(pictures, tmp_path / "d")


def test_what_differs_is_shown_with_both_values(pictures, tmp_path):
    run(pictures, tmp_path / "c", until=2)
    with pytest.raises(InputError, match=r"its gamma differs \(1.0, now 2.0\)"):
        run(pictures, tmp_path / "c", gamma=2.0)


def test_a_disk_that_refuses_the_checkpoint_does_not_cost_the_picture(pictures, tmp_path, monkeypatch):
    def full(path, arrays):
        raise OSError(28, "No space left on device")

    said = []
    monkeypatch.setattr(checkpoint.arrays_file, "save", full)
    options = {"checkpoint_path": tmp_path / "c", "checkpoint_every": 0.0, "notify": said.append}
    result = transfer(*pictures, small_config(), **options)
    assert_same(result, run(pictures))
    (note,) = result.record["notes"]
    assert "No space left on device" in note and f"warning: {note}" in said


def test_a_disk_that_refused_is_asked_again_an_interval_later(pictures, tmp_path, monkeypatch):
    now, tries = [0.0], []
    monkeypatch.setattr(checkpoint, "monotonic", lambda: now[0])

    def full(path, arrays):
        tries.append(now[0])
        raise OSError(28, "No space left on device")

    def on_iterate(progress):
        now[0] += 10

    monkeypatch.setattr(checkpoint.arrays_file, "save", full)
    transfer(*pictures, small_config(iterations=8), checkpoint_path=tmp_path / "c", on_iterate=on_iterate)
    assert tries == [30.0, 60.0, 80.0]


# Hostile files


def tampered(path, **changes):
    """The checkpoint at `path` with arrays replaced (None: left out), and entries of its JSON by `about`."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    about = json.loads(str(arrays["about"]))
    for key, value in changes.pop("about", {}).items():
        about.pop(key) if value is None else about.__setitem__(key, value)
    arrays["about"] = np.array(json.dumps(about))
    for name, value in changes.items():
        name = name.replace("slot_", "slot.")
        arrays.pop(name) if value is None else arrays.__setitem__(name, value)
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def nan_picture():
    x = np.zeros((1, 3, 24, 32), np.float32)
    x[0, 0, 0, 0] = np.nan
    return x


@pytest.mark.parametrize(
    "changes",
    [
        {"x": None},
        {"about": {"identity": None}},
        {"about": {"identity": []}},
        {"about": {"identity": {}}},
        {"about": {"balance": None}},
        {"about": {"balance": {"point": "nowhere"}}},
        {"about": {"trace": None}},
        {"about": {"trace": []}},
        {"about": {"trace": [1, 2]}},
        {"about": {"trace": [{}, {}]}},
        {"about": {"machine": None}},
        {"about": {"schema": 99}},
        {"about": {"schema": None}},
        {"about": {"iteration": "two"}},
        {"about": {"iteration": -1}},
        {"about": {"iteration": 10**30}},
        {"x": np.zeros((1, 3, 8, 8), np.float32)},
        {"x": np.array("a picture")},
        {"x": np.zeros((1, 3, 24, 32), np.complex64)},
        {"x": nan_picture()},
        {"slot_slot0": None},
        {"slot_slot0": np.zeros((2, 2), np.float32)},
        {"slot_slot0": np.array("a momentum")},
        {"slot_slot1": np.zeros((1, 3, 24, 32), np.float32)},
    ],
    ids=lambda changes: str(changes)[:40].replace("\n", ""),
)
def test_a_tampered_checkpoint_is_refused_in_one_line(changes, pictures, tmp_path):
    path = tmp_path / "c"
    run(pictures, path, until=2)
    tampered(path, **changes)
    with pytest.raises(InputError) as caught:
        run(pictures, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def pickled():
    import io

    stream = io.BytesIO()
    np.savez(stream, x=np.array([print], dtype=object), about=np.array("{}"))
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"{}", b"PK\x03\x04 no zip", b"\x80\x04K\x01.", b"\x93NUMPY\x01\x00", b"\0" * 1000, pickled()],
    ids=["empty", "text", "json", "zip magic", "pickle", "npy", "zeros", "npz of objects"],
)
def test_another_file_is_refused_in_one_line_and_left_as_it_was(content, pictures, tmp_path):
    path = tmp_path / "c"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        run(pictures, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_every_cut_and_a_flipped_byte_are_refused(pictures, tmp_path):
    path = tmp_path / "c"
    run(pictures, path, until=2)
    whole = path.read_bytes()
    for end in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError):
            checkpoint.load(path)
    path.write_bytes(whole)
    assert checkpoint.load(path)[0].iteration == 2
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # inside the data of an array: the zip's CRC sees it
    path.write_bytes(flipped)
    with pytest.raises(InputError):
        checkpoint.load(path)


def test_a_place_that_cannot_be_written_is_refused_before_the_first_iteration(pictures, tmp_path):
    for path in (tmp_path / "no" / "folder", tmp_path):
        seen = []
        with pytest.raises(InputError, match="cannot write"):
            transfer(*pictures, small_config(), checkpoint_path=path, on_iterate=seen.append)
        assert seen == []
