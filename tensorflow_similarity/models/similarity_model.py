"""A Keras model that owns a search index."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, overload

import keras

# Not exported by Keras; `type(keras.Model(inputs, outputs))` is this class.
from keras.src.models.functional import Functional

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._atomic_file import replacing
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike, Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.index import Index, MilvusIndex
from tensorflow_similarity.losses.base import memory_variables
from tensorflow_similarity.losses.phase import phase
from tensorflow_similarity.models import loading, persistence
from tensorflow_similarity.models._fit_labels import ids_of_names, with_numbers
from tensorflow_similarity.models._fitting import (
    build_apart_from_workers,
    fit_with_samplers,
    warn_of_sorted_labels,
)
from tensorflow_similarity.models.batches import is_dataset
from tensorflow_similarity.models.binding import IndexBinding
from tensorflow_similarity.models.doubtful_losses import warn_of_doubtful
from tensorflow_similarity.models.embedding import divisible, examine_inputs, output_names
from tensorflow_similarity.models.functional import functional_class, is_functional_call
from tensorflow_similarity.models.heads import (
    bind_heads,
    check_targets,
    embedding_below_head,
    refuse_two_views,
)
from tensorflow_similarity.models.index_distance import distance_and_output
from tensorflow_similarity.models.jax_batches import (
    devices_of_batch,
    numbered,
    prepare_iterator,
    synced,
)
from tensorflow_similarity.models.micro_batches import call_in_parts
from tensorflow_similarity.models.registered_losses import registered_loss
from tensorflow_similarity.models.replica_parts import (
    check_strategy,
    is_built,
    over_replicas,
    parts_of_batch,
    replicas_of,
    with_first_parts,
)
from tensorflow_similarity.models.retrieval_methods import RetrievalMethods

__all__ = ["SimilarityModel"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity", name="SimilarityModel")
class SimilarityModel(RetrievalMethods, keras.Model):
    """A `keras.Model` whose embeddings can be indexed, looked up, matched and evaluated.

    Build it like any `keras.Model`: from `inputs` and `outputs`, by subclassing with a
    `call` method, or from a `Sequential` with `from_model`. Everything a Keras model does
    works. The model owns an `Index`, whose distance follows the loss; one `.keras` file
    holds weights, optimizer, records and calibration.

    The argument `x` of its methods is anything `predict` takes: arrays, tuples or dicts of
    arrays for several inputs, `tf.data.Dataset`, `keras.utils.PyDataset` such as the
    samplers, or a generator of batches. Datasets yield `(x, y)`, with their own labels.
    Examples are embedded in batches, with a progress bar unless `verbose=0`.

    **Further training** makes the records stale, since they were embedded with other
    weights. The next lookup warns; index again with `reset_index()` and `index(...)`.
    (Weights assigned by hand, layer by layer, are noticed only after a reload.)

    Args:
        inputs: The inputs, as `keras.Model` takes them.
        outputs: The outputs, as `keras.Model` takes them. One of them is the embedding
            that is indexed; with several, `compile` chooses it.
        name: The name of the model. Defaults to `None`: Keras makes one.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.layers import L2Embedding
    from tensorflow_similarity.losses import TripletLoss
    from tensorflow_similarity.models import SimilarityModel

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = np.repeat(np.arange(8), 8)

    inputs = keras.Input((8,))
    model = SimilarityModel(inputs, L2Embedding(4)(inputs))
    model.compile("adam", loss=TripletLoss(distance="cosine"))
    model.fit(x, y, epochs=1, verbose=0)

    ids = model.index(x, y, data=x, verbose=0)
    neighbors = model.lookup(x[:2], k=3, verbose=0)
    neighbors[0]  # the three nearest records of the first query, as `Lookup` objects

    model.save("model.keras")
    model = keras.saving.load_model("model.keras")
    ```
    """

    _micro_batch_size: int | None = None
    _loading = False

    def __new__(cls, *args: Any, **kwargs: Any) -> SimilarityModel:
        if cls is SimilarityModel and is_functional_call(args, kwargs):
            cls = _FunctionalSimilarityModel
        return super().__new__(cls, *args, **kwargs)

    @overload
    def __init__(self, inputs: object, outputs: Any, name: str | None = None) -> None: ...

    @overload
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...  # a subclass with `call`

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if is_functional_call(args, kwargs):
            functional_class(type(self), SimilarityModel, _FunctionalSimilarityModel)
        elif type(self) is SimilarityModel:
            raise TypeError(
                "SimilarityModel needs `inputs` and `outputs`. To index a Sequential or another "
                "model use SimilarityModel.from_model(model); or subclass it with a `call` method."
            )
        super().__init__(*args, **kwargs)
        self._binding = IndexBinding(self)

    def __repr__(self) -> str:
        binding = getattr(self, "_binding", None)
        index = None if binding is None else binding.index
        return f"{super().__repr__().removesuffix('>')}, index={index!r}>"

    @classmethod
    def from_model(cls, model: keras.Model, name: str | None = None) -> SimilarityModel:
        """Makes a similarity model from another model, sharing its layers.

        Args:
            model: A functional model, or a `Sequential` whose input shape is known.
            name: The name of the new model.

        Returns:
            An uncompiled model.

        Raises:
            TypeError: If `model` is neither.
            ValueError: If the input shape is not known.

        Example:

        ```python
        import keras
        from tensorflow_similarity.layers import L2Embedding
        from tensorflow_similarity.models import SimilarityModel

        layers = [keras.Input((8,)), keras.layers.Dense(16), L2Embedding(4)]
        model = SimilarityModel.from_model(keras.Sequential(layers))
        ```
        """
        if isinstance(model, keras.Sequential):
            if not model.built:
                raise ValueError(
                    "`model` must know the shape of its input: start the Sequential with "
                    f"keras.Input(shape), or call it once. Received: {model!r}, not built."
                )
            return cls(model.inputs[0], model.outputs[0], name=name)
        if not isinstance(model, Functional):
            raise TypeError(
                "`model` must be a functional model or a Sequential. Received: "
                f"{model!r}. Derive subclassed models from SimilarityModel instead."
            )
        return cls(model.input, model.output, name=name)

    @explains_arguments("SimilarityModel.compile")
    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        loss: object = None,
        *args: Any,
        distance: DistanceLike = "auto",
        search: object = None,
        embedding_output: int | str | None = None,
        micro_batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Configures training, like `keras.Model.compile`, and the index.

        Compiling again keeps the records if the settings of the index do not change.

        Args:
            optimizer: As in Keras.
            loss: As in Keras: a loss, or a dict or list of them for several outputs.
            *args: Further arguments of `keras.Model.compile`.
            distance: The distance of the index. Defaults to `"auto"`: that of the loss. Required
                for losses that are not of this package.
            search: The search engine of the index, see `Index`. Defaults to `None`: the
                current one, or `"auto"` at first. Other arguments given to `create_index` are
                kept too.
            embedding_output: Which output to index: its position, its name or, in functional
                models, the name of any layer. Defaults to `None`: the first input of a
                `ProxyHead`, `MarginHead` or `CompatibleHead` at the end of a functional model;
                else the only output, or the only one whose loss has a distance.
            micro_batch_size: Number of examples that go through the network at a time in
                training (gradient caching), for batches whose activations do not fit in
                memory. The loss sees the whole batch; value and gradient equal those of the
                plain step up to rounding, at the cost of a second forward pass. Batch
                normalisation normalises each part separately. Random numbers must come from
                `keras.random`, as in Keras' layers. Defaults to `None`: the whole batch.
            **kwargs: Further arguments of `keras.Model.compile`, such as `metrics`.

        Raises:
            ValueError: If distance or output are ambiguous or do not exist, the index holds
                records that would not fit, a `MarginHead` or `CompatibleHead` and the loss do
                not match, an older model is not frozen, the loss compares two views while
                this model embeds only one (see `DualEncoder` and `ContrastiveModel`), or the
                model, or the memory of the loss, was made outside the scope of the strategy that
                is to train it.
        """
        loss = registered_loss(loss)
        check_strategy(self, memory_variables(loss))
        own_step = (
            type(self).train_step is not keras.Model.train_step
            or type(self).compute_loss is not SimilarityModel.compute_loss
        )
        if not own_step:
            refuse_two_views(loss)
        if not self._loading:
            warn_of_doubtful(loss)
        bind_heads(self, loss)
        if micro_batch_size is not None:
            micro_batch_size = checks.count(micro_batch_size, "micro_batch_size")
        resolved, output = self._resolve(loss, distance, embedding_output)
        self._binding.configure(resolved, search, output)
        super().compile(optimizer, loss, *args, **kwargs)
        self._micro_batch_size = micro_batch_size
        self._binding.forget_traces()

    @explains_arguments("SimilarityModel.create_index")
    def create_index(
        self,
        distance: DistanceLike = "auto",
        search: object = "auto",
        embedding_output: int | str | None = None,
        uri: str | None = None,
        collection: str = "records",
        path: str | os.PathLike[str] | None = None,
        storage: str = "float32",
        target_recall: float = 0.95,
        search_params: Mapping[str, Any] | None = None,
    ) -> None:
        """Replaces the index by a new, empty one; `compile` calls this for you.

        Use it for models that are not trained, and to change the settings of the index.

        Args:
            distance: A distance. Defaults to `"auto"`: that of the loss.
            search: The search engine, see `Index`. Defaults to `"auto"`.
            embedding_output: Which output to index, see `compile`.
            uri: For `search="milvus"`: the file or server that holds the records, see
                `MilvusIndex`. Existing records are kept.
            collection: For `search="milvus"`: the name of the collection.
            path: A folder for the index, in which every change survives a crash, see
                `Index`. Existing records are kept. Defaults to `None`: the index is in
                memory.
            storage: How embeddings are stored, see `Index`.
            target_recall: Recall that an approximate engine should reach, see `Index`.
                Milvus does not use it; it is kept for another `search`.
            search_params: Parameters of the engine, see `Index`; or of Milvus, see
                `MilvusIndex`.

        Raises:
            ImportError: If `search` is `"milvus"`, and pymilvus is not installed.
            ValueError: If distance or output are ambiguous or do not exist, or `uri` is missing
                or not usable.
        """
        if (search == "milvus") != (uri is not None):
            raise ValueError(
                "`uri` must be given for search='milvus', and for no other. Received: "
                f"search={search!r}, uri={uri!r}."
            )
        loss = getattr(self, "loss", None)
        resolved, output = self._resolve(loss, distance, embedding_output)
        settings: dict[str, Any] = {
            "path": path,
            "storage": storage,
            "target_recall": target_recall,
            "search_params": search_params,
        }
        if uri is not None:
            if path is not None or storage != "float32":
                raise ValueError(
                    "`path` and `storage` are of no use for search='milvus'. Received: "
                    f"path={path!r}, storage={storage!r}."
                )
            settings |= {"uri": uri, "collection": collection}
        self._binding.configure(resolved, search, output, keep=False, settings=settings)

    def _resolve(self, loss: object, distance: DistanceLike, output: Any) -> tuple[Any, Any]:
        functional = isinstance(self, Functional)
        if output is None and functional:
            output = embedding_below_head(self)
        names = output_names(self) if functional else None
        return distance_and_output(loss, distance, output, names)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.__call__`; in training, in parts of `micro_batch_size` examples."""
        call = super().__call__
        size = self._micro_batch_size
        symbolic = any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(args))
        if size is None or not kwargs.get("training") or len(args) != 1 or symbolic:
            return call(*args, **kwargs)
        return call_in_parts(self, lambda x: call(x, **kwargs), args[0], size)

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As `keras.Model.stateless_call`, by which JAX trains; in parts as `__call__`."""
        if self._micro_batch_size is None or not kwargs.get("training"):
            return super().stateless_call(
                trainable_variables,
                non_trainable_variables,
                *args,
                return_losses=return_losses,
                **kwargs,
            )
        # Keras' own implementation uses `call`, not `__call__`.
        held = self.trainable_variables, self.non_trainable_variables
        mapping = [
            *zip(held[0], trainable_variables, strict=True),
            *zip(held[1], non_trainable_variables, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping, collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else None
        updated = [scope.get_current_value(variable) for variable in held[1]]
        return (outputs, updated, losses) if return_losses else (outputs, updated)

    @property
    def non_trainable_variables(self) -> list[Any]:
        """As in Keras; with JAX also those of a `CrossBatchMemory`, which a step changes."""
        variables = super().non_trainable_variables
        if keras.backend.backend() != "jax":
            return variables
        return [*variables, *memory_variables(getattr(self, "loss", None))]

    def _targets_for_jax(self, x: object, y: object) -> Any:
        """The targets of a batch as JAX is to have them: class ids in 32 bits."""
        check_targets(self, y)
        return numbered(y)

    def _symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Keras calls this with the batches of `fit` and `evaluate` before they are used.
        on_jax = iterator is not None and keras.backend.backend() == "jax"
        held = prepare_iterator(iterator, self._targets_for_jax) if on_jax else []
        super()._symbolic_build(iterator=iterator, data_batch=data_batch)
        if on_jax:
            optimizer = [] if self.optimizer is None else self.optimizer.variables
            every = [*self.trainable_variables, *self.non_trainable_variables]
            every += [*optimizer, *self.metrics_variables]
            held[:] = [(variable, variable._value) for variable in every]

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Under a strategy, Keras takes a batch of the epoch even if all is built. Workers of a
        # sampler that have made others ready behind it would give those first.
        if is_built(self):
            return
        # It builds with the mean of the replicas' parts: impossible where they differ in size or
        # are bool, and integers become floats.
        super()._maybe_symbolic_build(with_first_parts(self, iterator), data_batch)

    def _make_function(self, *args: Any, **kwargs: Any) -> Any:
        # What TensorFlow runs for a step of training or evaluation.
        return over_replicas(self, super()._make_function(*args, **kwargs))

    def predict_on_batch(self, x: object) -> Any:
        """As `keras.Model.predict_on_batch`; under a strategy, each replica has a part of it."""
        return super().predict_on_batch(x if replicas_of(self) == 1 else parts_of_batch(self, x))

    def predict(self, x: object, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`; with JAX also where devices do not divide a batch of arrays."""
        devices = devices_of_batch() if keras.backend.backend() == "jax" else 1
        if devices == 1 or is_dataset(x):
            return super().predict(x, batch_size, *args, **kwargs)
        count = len(keras.tree.flatten(x)[0])
        size = -(-(batch_size or 32) // devices) * devices
        outputs = super().predict(divisible(x, count), size, *args, **kwargs)
        return keras.tree.map_structure(lambda output: output[:count], outputs)

    def train_on_batch(self, x: object, y: object = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.train_on_batch`."""
        y = self.numbers_of_labels(y)
        if keras.backend.backend() == "jax":
            y = self._targets_for_jax(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x: object, y: object = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.test_on_batch`."""
        y = self.numbers_of_labels(y)
        if keras.backend.backend() == "jax":
            y = self._targets_for_jax(x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def compute_loss(
        self,
        x: object = None,
        y: object = None,
        y_pred: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        training: bool = True,
    ) -> Tensor:
        """As `keras.Model.compute_loss`; losses with a memory learn whether this is training."""
        with phase(training):
            return super().compute_loss(x, y, y_pred, sample_weight, training)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Like `keras.Model.fit`, with samplers that follow the epoch, and class names in `y`.

        For losses that compare embeddings, class names work like class ids, and so do `Targets`
        of several labels, of a hierarchy or of pairs, if the loss takes them (see its
        `relevance`). The same holds for `validation_data`, `evaluate` and `train_on_batch`.

        With a sampler, epoch e has the same batches in the same order in a run resumed by
        `initial_epoch=` or `keras.callbacks.BackupAndRestore` as in an uninterrupted one.
        `shuffle` has no effect on samplers, which draw at random anyway. A second `fit` from
        epoch 0 continues from the sampler's epoch; `sampler.epoch = 0` starts over.

        Args:
            *args: As for `keras.Model.fit`.
            **kwargs: As for `keras.Model.fit`. With a sampler, `steps_per_epoch` sets the
                number of batches in its epochs.
        """
        check_strategy(self, memory_variables(getattr(self, "loss", None)))
        examine_inputs(self, args[0] if args else kwargs.get("x"))
        return fit_with_samplers(self, super().fit, args, kwargs)

    def evaluate(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Like `keras.Model.evaluate`, which `fit` also calls for validation data.

        Warns if data are sorted by class, so that most batches of a pair loss hold one class:
        the value is then meaningless, and often near 0. (For datasets, two batches are checked.)
        """
        # `fit` has checked its datasets already.
        if "_use_cached_eval_dataset" not in kwargs or not is_dataset(x):
            given = {"x": x, "y": y}
            with_numbers(self, given)
            x, y = given["x"], given["y"]
            warn_of_sorted_labels(self, x, y, batch_size or 32)
        build_apart_from_workers(self, x)
        try:
            return super().evaluate(x, y, batch_size, *args, **kwargs)
        except BaseException:
            synced(self)  # With JAX, the weights are kept elsewhere while it runs.
            raise

    def numbers_of_labels(self, y: Any) -> Any:
        """The targets of examples as numbers: class names, None and `Targets` become arrays.

        `fit`, `evaluate`, `train_on_batch` and `test_on_batch` call it, for batches of datasets
        too. A name has the same id everywhere.

        Args:
            y: What `fit` takes as `y`.

        Raises:
            ValueError: If the loss does not take names, or this kind of `Targets`.
        """
        return ids_of_names(self, y)

    def towers(self) -> tuple[keras.Model, keras.Model]:
        """The models that embed queries and records: this one, unless it has two towers."""
        return self, self

    def __setattr__(self, name: str, value: object) -> None:
        if name == "vector_index":
            # Keras reads an attribute before it sets it; a model may have no index yet.
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def vector_index(self) -> Index:
        """The index of this model; assign another one to replace it.

        Raises:
            ValueError: If there is none yet, or the assigned one differs in embedding size
                from the model.
        """
        if self._binding.index is None:
            raise ValueError(
                "The model has no index yet: call compile() with a loss that has a distance, or "
                "create_index(distance=...); a subclassed model has one once it indexed a record."
            )
        return self._binding.index

    @vector_index.setter
    def vector_index(self, index: Index) -> None:
        if not isinstance(index, Index):
            raise TypeError(f"`vector_index` must be an Index. Received: {index!r}.")
        self._binding.adopt(index)

    @explains_arguments("SimilarityModel.save_index")
    def save_index(self, filepath: str | os.PathLike[str]) -> None:
        """Saves the index alone, with records and calibration: see `Index.save`.

        Args:
            filepath: The file to write.
        """
        self.vector_index.save(filepath)

    def load_index(
        self,
        filepath: str | os.PathLike[str] | None = None,
        *,
        uri: str | None = None,
        collection: str = "records",
        token: str = "",
        trust_graph: bool | None = None,
    ) -> None:
        """Replaces the index by one from a file or folder, or attaches one in Milvus.

        On failure the model is unchanged.

        Args:
            filepath: A file written by `save_index` or `Index.save`, or the folder of an index.
            uri: Instead of `filepath`, the Milvus file or server that holds the records, see
                `MilvusIndex`.
            collection: The name of the collection in Milvus.
            token: `"user:password"` or a key, if the server requires one.
            trust_graph: Whether the graph of a file or folder is read: see `Index.load`.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If `uri` is given, and pymilvus is not installed.
            ValueError: If the file is damaged or from a newer version, the collection does not
                exist, or embedding size or distance differ from the model's; for Milvus also
                if its records were embedded with other weights.
        """
        if (filepath is None) == (uri is None):
            raise ValueError(
                "Either `filepath` or `uri` must be given. Received: "
                f"filepath={filepath!r}, uri={uri!r}."
            )
        if uri is not None:
            remote = MilvusIndex.open(uri, collection, token=token)
            try:
                self._binding.attach(remote)
            except ValueError:
                remote.close()
                raise
            return
        name = os.fspath(filepath or "")
        read = Index.open if os.path.isdir(name) else Index.load
        index = read(name, trust_graph=trust_graph)
        distance = self._binding.distance
        if distance is not None and distance != index.distance:
            index.close()
            raise ValueError(
                f"`filepath` must hold an index with the distance of the model, {distance!r}. "
                f"Received: one with {index.distance!r}. If it is meant so, assign it: "
                "model.vector_index = Index.load(filepath)."
            )
        self._binding.adopt(index)

    def export_serving(
        self,
        filepath: str | os.PathLike[str],
        k: int = 5,
        cutpoint: str | None = "optimal",
        preprocess: Callable[[Any], Any] | None = None,
        input_signature: Any = None,
        max_bytes: int = 2**31,
        overwrite: bool = True,
    ) -> None:
        """Writes a self-contained TensorFlow SavedModel that looks up raw inputs.

        It holds the current network and records, and searches them exactly, whatever the
        engine of the index. It runs with TensorFlow alone (TensorFlow Serving, or
        `tf.saved_model.load`), without this package. Payloads are not included: store them
        elsewhere, by id. Its signatures:

        - `serving_default`: the inputs of the model -> `ids` int64, `distances`
          float32 and `labels` int64, `[n, k]` each, as returned by `lookup`; with
          fewer than k records, padded with id -1, label -1 and distance inf. With class names,
          labels are strings, and the empty string means none. Where records have keys, also
          `keys`, strings in UTF-8, likewise.
        - `lookup_k`: the inputs and a scalar int32 `k` -> the same for that k.
        - `match`, if the index is calibrated: the inputs -> `labels` `[n]`, -1 for no
          match, and `distances` `[n]`, which were compared with the threshold.

        Inputs are named by their names, by their keys if the model takes a dict, or `inputs`
        if they have no name (`inputs_0`, `inputs_1`, ... if there are several).

        Args:
            filepath: The folder to write. It gets this name once it is complete.
            k: Number of neighbours that `serving_default` returns. Defaults to 5.
            cutpoint: The cutpoint of the calibration that `match` applies. Defaults to
                `"optimal"`; `None` leaves `match` out.
            preprocess: A TensorFlow function that turns what clients send into inputs of the
                model, for example by decoding images. Defaults to `None`.
            input_signature: `tf.TensorSpec` of what clients send, with `None` as the batch
                size; a list or dict of them for several inputs. Defaults to `None`: the inputs
                of a functional model. Required with `preprocess` and for subclassed models.
            max_bytes: Maximum size of the embeddings. Defaults to 2 GiB.
            overwrite: Whether to replace what is at `filepath`. Defaults to `True`.

        Raises:
            FileExistsError: If `filepath` exists and `overwrite` is False.
            KeyError: If the index is calibrated but has no such cutpoint.
            RuntimeError: If the backend of Keras is not TensorFlow.
            ValueError: If the index is empty or too large, its distance or matcher cannot be
                expressed as a graph, or `input_signature` is missing.

        Example:

        ```python
        import keras
        import numpy as np
        import tensorflow as tf
        from tensorflow_similarity.layers import L2Embedding
        from tensorflow_similarity.models import SimilarityModel

        inputs = keras.Input((8,), name="vector")
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        model.create_index(distance="cosine")
        x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
        model.index(x, np.arange(64) // 8, verbose=0)

        model.export_serving("served", k=3)
        lookup = tf.saved_model.load("served").signatures["serving_default"]
        lookup(vector=tf.constant(x[:2]))["labels"].shape  # (2, 3)
        ```
        """
        from tensorflow_similarity.models.serving import export_serving

        export_serving(
            self,
            self._binding,
            filepath,
            k,
            cutpoint,
            preprocess,
            input_signature,
            max_bytes,
            overwrite,
        )

    @explains_arguments("SimilarityModel.save")
    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Saves the model with its index in one `.keras` file, like `keras.Model.save`.

        The file is replaced only once the new one is complete; if saving fails, an existing
        file is unchanged.

        Args:
            filepath: The file, ending in `.keras`.
            overwrite: As in Keras.
            zipped: As in Keras.
            **kwargs: As in Keras.

        Raises:
            ValueError: If an HDF5 file is requested, which cannot hold an index.
        """
        path = os.fspath(filepath)
        if path.endswith((".h5", ".hdf5")):
            raise ValueError(
                f"`filepath` must end in .keras. Received: {path!r}: an HDF5 file does not hold "
                "the index. (`model.save_weights` writes weights alone, to a name that ends in "
                ".weights.h5.)"
            )
        plain_file = path.endswith(".keras") and zipped is not False and "://" not in path
        if not plain_file or (not overwrite and os.path.exists(path)):
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        with replacing(path, extension=".keras") as temporary:
            super().save(temporary, zipped=zipped, **kwargs)

    @classmethod
    def load(
        cls,
        filepath: str | os.PathLike[str],
        custom_objects: dict[str, Any] | None = None,
        compile: bool = True,
        safe_mode: bool = True,
        trust_graph: bool | None = None,
    ) -> SimilarityModel:
        """Loads a model with its index, like `keras.saving.load_model`.

        Truncated and damaged files are reported as such.

        Args:
            filepath: A file written by `save`.
            custom_objects: As in Keras.
            compile: As in Keras.
            safe_mode: As in Keras.
            trust_graph: Whether the graph of the index is read: see `Index.load`. Defaults to
                `None`: after a check. False for files of strangers.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If it holds a model of another class.
            ValueError: If it is truncated, damaged, or not a `.keras` file.

        Example:

        ```python
        import keras
        from tensorflow_similarity.layers import L2Embedding
        from tensorflow_similarity.models import SimilarityModel

        inputs = keras.Input((8,))
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        model.save("model.keras")
        model = SimilarityModel.load("model.keras")
        ```
        """
        model = loading.load_model(
            filepath,
            trust_graph,
            custom_objects=custom_objects,
            compile=compile,
            safe_mode=safe_mode,
        )
        if not isinstance(model, cls):
            raise TypeError(
                f"`filepath` must hold a {cls.__name__}. Received: {os.fspath(filepath)!r}, which "
                f"holds a {type(model).__name__}."
            )
        return model

    def save_assets(self, folder: str) -> None:
        """Called by Keras: writes the index into a `.keras` file."""
        persistence.write_assets(folder, self._binding)

    def load_assets(self, folder: str) -> None:
        """Called by Keras: reads the index from a `.keras` file."""
        persistence.read_assets(folder, self._binding)

    def load_weights(self, filepath: object, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.load_weights`; records in the index are stale afterwards."""
        try:
            super().load_weights(filepath, *args, **kwargs)
        finally:
            self._binding.fingerprint.touch()

    def set_weights(self, weights: Any) -> None:
        """As `keras.Model.set_weights`; records in the index are stale afterwards."""
        try:
            super().set_weights(weights)
        finally:
            self._binding.fingerprint.touch()

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.quantize`; records in the index are stale afterwards."""
        try:
            super().quantize(*args, **kwargs)
        finally:
            self._binding.fingerprint.touch()
            self._binding.forget_traces()

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of `compile`, for saving."""
        config = super().get_compile_config()
        if config and self._binding.distance is not None:
            search = self._binding.search
            config["distance"] = keras.saving.serialize_keras_object(self._binding.distance)
            config["search"] = search if isinstance(search, str) else "auto"
            config["embedding_output"] = self._binding.embedding_output
            config["micro_batch_size"] = self._micro_batch_size
            optimizer = config.get("optimizer")
            if isinstance(optimizer, dict) and "backend.torch" in (optimizer.get("module") or ""):
                # Keras stores the class that PyTorch trains with, which no other backend can use.
                optimizer["module"] = "keras.optimizers"
            config["optimizer_built"] = bool(self.optimizer and self.optimizer.built)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as a saved model was compiled."""
        config = keras.saving.deserialize_keras_object(config)
        # Keras builds any optimizer here, and warns if the saved one was not built.
        built = config.pop("optimizer_built", True)
        self._loading = True
        try:
            self.compile(**config)
        finally:
            self._loading = False
        if built and self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)


@keras.saving.register_keras_serializable(package="tensorflow_similarity", name="SimilarityModel")
class _FunctionalSimilarityModel(SimilarityModel, Functional):
    """The class that `SimilarityModel(inputs, outputs)` creates; users see it under that name."""


# Keras names models and their configs by it; pickle uses `__qualname__`.
_FunctionalSimilarityModel.__name__ = "SimilarityModel"
