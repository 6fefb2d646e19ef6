"""Balanced batches of examples in files."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers.class_choice import ClassChoice
from tensorflow_similarity.samplers.images import image_folder, load_image
from tensorflow_similarity.samplers.memory import MultiShotMemorySampler
from tensorflow_similarity.samplers.padding import Padding
from tensorflow_similarity.targets import Targets

__all__ = ["MultiShotFileSampler"]


class MultiShotFileSampler(MultiShotMemorySampler):
    """Class-balanced batches of examples that are loaded from files on demand.

    Like `MultiShotMemorySampler`, but of paths: files are loaded batch by batch, and only the
    paths are kept in memory. Images of a `target_size` are loaded on all cores; with another
    loader, set `workers=` to load in several threads. `from_folder` makes a sampler of a folder
    with one subfolder per class.

    Args:
        x: Paths `[n]`, or anything that `load_example_fn` turns into examples.
        y: Labels, as for `MultiShotMemorySampler`, such as class ids or names.
        load_example_fn: Loads an example from an element of `x`: an array, or a tuple or
            dict of arrays. If it has an attribute `many`, a function of an array of elements
            that returns all of their examples, that is called once for each batch. Defaults to
            `load_image`, which has.
        classes_per_batch: Number of classes in a batch. Defaults to 2.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults
            to 2. Classes with fewer examples repeat them, with one warning.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        class_list: Ids or names of classes to draw from. Defaults to `None`: all.
        total_examples_per_class: Use at most this many examples of each class, a
            random choice that depends on the seed. Defaults to `None`: all.
        augmenter: As for `MultiShotMemorySampler`. Defaults to `None`.
        seed: Integer. Defaults to `None`: a random seed, stored in the attribute `seed`.
        class_choice: How the classes of a batch are chosen, such as `HierarchicalClasses`.
            Defaults to `None`: uniformly at random.
        sample_weight, label_output, ignore_class: As for `MultiShotMemorySampler`.
        padding: How to pad sequences of different lengths, see `Padding`. Defaults
            to `None`: examples must have one shape.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`. With `load_image`, use threads rather than
            processes: TensorFlow does not survive a fork.

    Attributes:
        class_names: The names of the classes 0, 1, 2, …, if made by `from_folder` or if labels
            are names; else None.

    Raises:
        TypeError: If labels are neither ids nor names nor `Targets`, or a function cannot be
            called.
        ValueError: As for `MultiShotMemorySampler`; when a batch is made, if a file cannot be
            loaded (the error names it), or examples differ in shape.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import MultiShotFileSampler

    for i in range(40):
        np.save(f"{i}.npy", np.full(3, i))
    paths = [f"{i}.npy" for i in range(40)]
    sampler = MultiShotFileSampler(paths, np.arange(40) % 8, np.load, workers=2, seed=0)
    sampler[0][0].shape  # (4, 3)
    ```
    """

    @explains_arguments("MultiShotFileSampler")
    def __init__(
        self,
        x: object,
        y: object,
        load_example_fn: Callable[[Any], Any] = load_image,
        classes_per_batch: int = 2,
        examples_per_class_per_batch: int = 2,
        steps_per_epoch: int = 1000,
        class_list: ArrayLike | None = None,
        total_examples_per_class: int | None = None,
        augmenter: Callable[..., Any] | None = None,
        seed: int | None = None,
        class_choice: ClassChoice | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        label_output: int | str | None = None,
        ignore_class: object = None,
        padding: Padding | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            x,
            y,
            classes_per_batch=classes_per_batch,
            examples_per_class_per_batch=examples_per_class_per_batch,
            steps_per_epoch=steps_per_epoch,
            class_list=class_list,
            total_examples_per_class=total_examples_per_class,
            augmenter=augmenter,
            seed=seed,
            class_choice=class_choice,
            load_example_fn=load_example_fn,
            sample_weight=sample_weight,
            label_output=label_output,
            ignore_class=ignore_class,
            padding=padding,
            **kwargs,
        )

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str],
        target_size: tuple[int, int] | None = None,
        dtype: str = "float32",
        interpolation: str = "lanczos3",
        **kwargs: Any,
    ) -> MultiShotFileSampler:
        """Makes a sampler of a folder of images with one subfolder per class.

        Args:
            folder: The folder, see `image_folder`.
            target_size: `(height, width)` of the images, see `load_image`.
            dtype: `"float32"` for values from 0 to 1, `"uint8"` for values from 0 to 255.
            interpolation: How to resize, see `load_image`. Defaults to `"lanczos3"`.
            **kwargs: The other arguments of the sampler, such as `classes_per_batch`.

        Returns:
            A sampler with `class_names`.

        Raises:
            ValueError: If there are no images in subfolders.

        Example:

        ```python
        import keras
        import numpy as np
        from pathlib import Path
        from tensorflow_similarity.samplers import MultiShotFileSampler

        for name in ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]:
            Path("pets", name).parent.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(f"pets/{name}", np.zeros((9, 7, 3)))
        sampler = MultiShotFileSampler.from_folder("pets", target_size=(8, 8), workers=2)
        sampler[0][0].shape  # (4, 8, 8, 3)
        sampler.class_names  # "cat" is 0, "dog" is 1
        ```
        """
        paths, labels, names = image_folder(folder)
        load = functools.partial(
            load_image, target_size=target_size, dtype=dtype, interpolation=interpolation
        )
        return cls(paths, Targets.classes(labels, names=names), load, **kwargs)
