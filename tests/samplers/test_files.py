import functools

import keras
import numpy as np
import pytest

from tensorflow_similarity.samplers import MultiShotFileSampler, image_folder, load_image
from tensorflow_similarity.samplers.images import load_images


def save(path, value, size=(6, 8), channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((*size, channels), value, "float32")
    keras.utils.save_img(path, image, scale=False)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(["cat", "dog", "emu"]):
        for i in range(4):
            save(tmp_path / name / f"{i}.png", 80 * label + i)
    save(tmp_path / "dog" / "more" / "deep.PNG", 99)
    save(tmp_path / "dog" / ".hidden.png", 1)
    save(tmp_path / ".cache" / "x.png", 1)
    save(tmp_path / "cat" / ".ipynb_checkpoints" / "x.png", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    save(tmp_path / "loose.png", 1)
    return tmp_path


def test_folders_are_listed_by_class(folder):
    found = image_folder(folder)
    assert found.class_names == ["cat", "dog", "emu"]
    assert found.labels.tolist() == [0] * 4 + [1] * 5 + [2] * 4
    assert found.labels.dtype == "int64"
    names = [path.removeprefix(str(folder) + "/") for path in found.paths]
    assert names[:5] == ["cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png", "dog/0.png"]
    assert "dog/more/deep.PNG" in names


def test_folders_without_images_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match=r"subfolder for each class.*\.png"):
        image_folder(tmp_path)
    with pytest.raises(ValueError, match=r"exists.*nowhere"):
        image_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif"])
def test_images_are_loaded(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", 51)
    image = load_image(path)
    assert image.shape == (6, 8, 3)
    assert image.dtype == "float32"
    np.testing.assert_allclose(image, 0.2, atol=0.01)
    assert load_image(path, dtype="uint8").dtype == "uint8"
    if suffix in ("png", "jpg"):
        assert load_image(path, channels=1).shape == (6, 8, 1)


def test_images_are_resized(tmp_path):
    path = tmp_path / "half.png"
    half = np.zeros((8, 8, 3))
    half[:, 4:] = 255
    keras.utils.save_img(path, half, scale=False)
    image = load_image(path, target_size=(4, 2))
    assert image.shape == (4, 2, 3)
    assert image[:, 0].max() < 0.1
    assert image[:, 1].min() > 0.9
    assert image.min() >= 0
    assert image.max() <= 1
    for interpolation in ("area", "bilinear", "nearest", "bicubic"):
        other = load_image(path, (4, 2), interpolation=interpolation)
        np.testing.assert_allclose(other, image, atol=0.1)
    whole = load_image(path, target_size=(4, 2), dtype="uint8")
    np.testing.assert_allclose(whole / 255, image, atol=0.003)


def test_grey_images_get_colours(tmp_path):
    path = save(tmp_path / "grey.png", 100, channels=1)
    assert load_image(path, dtype="uint8").tolist() == np.full((6, 8, 3), 100).tolist()


def test_a_bad_dtype_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"`dtype`.*float16"):
        load_image("a.png", dtype="float16")
    with pytest.raises(ValueError, match=r"`interpolation`.*'linear'"):
        load_image("a.png", interpolation="linear")


def test_batches_of_a_folder(folder):
    sampler = MultiShotFileSampler.from_folder(
        folder, target_size=(5, 5), dtype="uint8", classes_per_batch=3, steps_per_epoch=7, seed=0
    )
    assert sampler.class_names == ["cat", "dog", "emu"]
    assert len(sampler) == 7
    for x, y in sampler:
        assert x.shape == (6, 5, 5, 3)
        assert np.unique(y, return_counts=True)[1].tolist() == [2, 2, 2]
        # Each picture is of one value, which tells its class.
        value = x[:, 0, 0, 0]
        np.testing.assert_array_equal(np.where(value == 99, 1, value // 80), y)
    x, y = sampler.get_slice(3, 2)
    assert y.tolist() == [0, 1]


@pytest.mark.further
def test_batches_are_those_of_the_memory_sampler_with_workers(folder):
    made = [
        MultiShotFileSampler.from_folder(folder, (4, 4), seed=5, workers=workers)
        for workers in (1, 3)
    ]
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    model.compile("sgd", "mse", jit_compile=False)
    for sampler in made:
        sampler.steps_per_epoch = 4
    one, two = (model.predict(sampler, verbose=0) for sampler in made)
    np.testing.assert_array_equal(one, two)


def test_any_loader_and_any_structure(tmp_path):
    for i in range(12):
        np.save(tmp_path / f"{i}.npy", np.full(3, i))

    def load(i):
        return {"a": np.load(tmp_path / f"{i}.npy"), "b": np.float32(i)}

    sampler = MultiShotFileSampler(np.arange(12), np.arange(12) % 4, load, seed=0)
    x, y = sampler[0]
    np.testing.assert_array_equal(x["a"][:, 0], x["b"])
    np.testing.assert_array_equal(x["b"] % 4, y)


def test_what_cannot_be_loaded_is_named(tmp_path):
    good = save(tmp_path / "good.png", 9)
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    with pytest.raises(ValueError, match=r"bad\.png"):
        MultiShotFileSampler([good, str(bad)], [0, 1], examples_per_class_per_batch=1)[0]
    other = save(tmp_path / "other.png", 9, size=(7, 7))
    with pytest.raises(ValueError, match=r"one shape.*\(6, 8, 3\).*target_size"):
        MultiShotFileSampler([good, other], [0, 1], examples_per_class_per_batch=1)[0]
    with pytest.raises(TypeError, match="load_example_fn"):
        MultiShotFileSampler([good, other], [0, 1], load_example_fn="png")


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("interpolation", ["lanczos3", "area"])
@pytest.mark.slow_cases("lanczos3-float32")
def test_images_loaded_at_once_are_those_loaded_one_by_one(tmp_path, dtype, interpolation):
    rng = np.random.default_rng(0)
    paths = []
    for i, suffix in enumerate(["png", "jpg", "bmp", "gif"] * 2):
        paths.append(tmp_path / f"{i}.{suffix}")
        keras.utils.save_img(str(paths[-1]), rng.integers(0, 255, (7 + i, 9, 3)), scale=False)
    load = functools.partial(
        load_image, target_size=(5, 4), dtype=dtype, interpolation=interpolation
    )
    one_by_one = [load(path) for path in paths]
    together = load_images(paths, (5, 4), dtype=dtype, interpolation=interpolation)
    assert together.dtype == dtype
    np.testing.assert_array_equal(together, one_by_one)
    sampler = MultiShotFileSampler(paths, np.arange(8) % 2, load, seed=0)
    x, _ = sampler[0]
    assert {image.tobytes() for image in x} <= {image.tobytes() for image in one_by_one}


def test_a_loader_of_many_is_called_once_for_a_batch():
    calls = []

    def load(number, scale=1):
        calls.append(1)
        return np.array([number * scale])

    def many(numbers, scale=1):
        calls.append(len(numbers))
        if (numbers == 7).any():
            raise OSError("seven")
        return numbers[:, None] * scale

    load.many = many
    numbers, labels = np.arange(7), np.arange(7) % 2
    x, _ = MultiShotFileSampler(numbers, labels, load, seed=0)[0]
    twice, _ = MultiShotFileSampler(numbers, labels, functools.partial(load, scale=2), seed=0)[0]
    np.testing.assert_array_equal(twice, 2 * x)
    assert calls == [4, 4]
    # What many cannot load is loaded one by one, so that an error names the element.
    calls.clear()
    sampler = MultiShotFileSampler(np.full(4, 7), [0, 0, 1, 1], load, seed=0)
    with pytest.warns(UserWarning, match="`many` fails, .* one by one, which is slower: seven"):
        np.testing.assert_array_equal(sampler[0][0], 7)
    assert calls == [4, 1, 1, 1, 1]


@pytest.mark.parametrize("made", [np.array, list])
def test_a_loader_of_many_returns_one_example_for_each(made):
    def load(number):
        return np.array([number])

    load.many = lambda numbers: made(numbers[1:, None])
    sampler = MultiShotFileSampler(np.arange(7), np.arange(7) % 2, load, seed=0)
    with pytest.raises(ValueError, match=r"`many` .* must return 4 examples.*Received: 3"):
        sampler[0]
