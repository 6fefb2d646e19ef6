"""The names of older libraries as data: see `compat.names`.

`SIMILARITY` has the names of TensorFlow Similarity 0.17 and of its 0.18 development branch, by the
module that defined them; a package stands for its submodules. `ADDONS` holds
`tensorflow_addons.losses` 0.23.
"""

from __future__ import annotations

import dataclasses

__all__ = ["ADDONS", "MODULES", "SIMILARITY", "Fate"]


@dataclasses.dataclass(frozen=True)
class Fate:
    """What happened to a name of an older library.

    Attributes:
        status: `"same"`: works unchanged. `"changed"`: works, with the differences in
            `note`. `"renamed"`: the old name still works, and means `target`. `"gone"`:
            importing it raises an error with `note`.
        target: Its place below `tensorflow_similarity`; None if it is gone.
        note: What differs, or what to write instead.
    """

    status: str
    target: str | None
    note: str = ""


def _words(text: str) -> list[str]:
    return text.split()


def _same(module: str, names: str) -> dict[str, Fate]:
    return {name: Fate("same", f"{module}.{name}") for name in names.split()}


def _changed(target: str, note: str) -> Fate:
    return Fate("changed", target, note)


def _renamed(target: str, note: str = "") -> Fate:
    return Fate("renamed", target, note)


def _gone(note: str) -> Fate:
    return Fate("gone", None, note)


def _all_gone(names: str, note: str) -> dict[str, Fate]:
    return dict.fromkeys(names.split(), _gone(note))


_OLD = "compat.tensorflow_similarity"
_LOSS_FUNCTION = (
    "a loss is a class: call the class of that name, or subclass `losses.MetricLoss` and write "
    "`row_loss`."
)
_ROW_LOSS = "subclass `losses.MetricLoss`; its `row_loss` gets distances and the masks of pairs."
_STORE = (
    "an index keeps its own records. `Index(..., path=FOLDER)` keeps them on disk, and "
    "`index.MilvusIndex` on a server."
)
_ENGINE = "choose the engine by name: `create_index(search=...)` or `Index(..., search=...)`."
_VIEWS = (
    "use Keras' preprocessing layers: RandomCrop, RandomFlip, RandomColorJitter, "
    "RandomGrayscale, RandomGaussianBlur, RandAugment, Solarization. A sampler's `augmenter` "
    "takes a layer, or a function `(x, y) -> (x, y)`, and calls it once for each view."
)
_AUGMENTER = f"no base class is needed: {_VIEWS}"
_BACKBONE = 'use `architectures.with_backbone`, for any backbone: `with_backbone("ResNet50")`.'
_BLOCK = "use `architectures.with_backbone` with any model as the backbone."
_MINING = "see `tensorflow_similarity.mining`: strategies and miners are objects."
_SERIALIZE = (
    "use `keras.saving.serialize_keras_object` and `keras.saving.deserialize_keras_object`."
)
_EVALUATOR = (
    "use `evaluation.evaluate` for retrieval, `calibration.calibrate` and "
    "`calibration.evaluate_classification` for matching; `SimilarityModel` has methods for all."
)
_TYPE = _renamed("compat.types.{}", "for annotations only.")
_DATASET = (
    "`TFDataSampler` does it all; for parts of it use `tf.data`, "
    "or `samplers.balanced_stream` for streams."
)
_MEAN_OF_EPOCH = "of the whole epoch, where it was that of the last batch."

SIMILARITY: dict[str, dict[str, Fate]] = {
    "algebra": _all_gone("build_masks masked_max masked_min", _ROW_LOSS),
    "architectures": {
        **_same("architectures", "EfficientNetSim"),
        "ResNet50Sim": _changed(
            "architectures.ResNet50Sim",
            "preprocesses inside: pass images from 0 to 255. For models fed with preprocessed "
            f"images use `{_OLD}.ResNet50Sim`.",
        ),
        "ResNet18Sim": _gone(
            "use `architectures.with_backbone` with KerasHub's ResNet-18 (`keras_hub.models"
            '.ResNetBackbone.from_preset("resnet_18_imagenet")`), or with a model of your own.'
        ),
        # Of the development branch.
        "ConvNeXtSim": _gone('use `architectures.with_backbone("ConvNeXtBase", ...)`.'),
    },
    "architectures.convnext": _all_gone("CONVNEXT_ARCHITECTURE build_convnext", _BACKBONE),
    "architectures.efficientnet": _all_gone(
        "EFF_ARCHITECTURE EFF_INPUT_SIZE build_effnet", _BACKBONE
    ),
    "architectures.resnet18": _all_gone("block0 build_resnet stack0 stack_fn", _BLOCK),
    "architectures.resnet50": {"build_resnet": _gone(_BACKBONE)},
    "architectures.utils": {
        "convert_sync_batchnorm": _gone(
            "pass `synchronized=True` to `keras.layers.BatchNormalization`."
        )
    },
    "augmenters": {
        "Augmenter": _gone(_AUGMENTER),
        "BarlowAugmenter": _gone(_VIEWS),
        "ContrastiveAugmenter": _gone(_AUGMENTER),
        "SimCLRAugmenter": _gone(_VIEWS),
    },
    "augmenters.augmentation_utils.blur": _all_gone(
        "batch_random_blur gaussian_blur random_blur", "use `keras.layers.RandomGaussianBlur`."
    ),
    "augmenters.augmentation_utils.color_jitter": {
        **_all_gone(
            "color_jitter color_jitter_nonrand color_jitter_rand random_color_jitter",
            "use `keras.layers.RandomColorJitter`.",
        ),
        "random_brightness": _gone("use `keras.layers.RandomBrightness`."),
        "to_grayscale": _gone("use `keras.layers.RandomGrayscale(factor=1.0)`."),
    },
    "augmenters.augmentation_utils.cropping": {
        "center_crop": _gone("use `keras.layers.CenterCrop`."),
        **_all_gone(
            "crop_and_resize crop_random_resized_crop distorted_bounding_box_crop "
            "random_crop_with_resize random_resized_crop",
            "use `keras.layers.RandomCrop`, or `RandomZoom` and `RandomTranslation`.",
        ),
    },
    "augmenters.augmentation_utils.flip": _all_gone(
        "random_random_flip_left_right random_random_flip_top_bottom",
        "use `keras.layers.RandomFlip`.",
    ),
    "augmenters.augmentation_utils.random_apply": {
        "random_apply": _gone("use the `rate` or `factor` of the Keras layer.")
    },
    "augmenters.augmentation_utils.solarize": {
        "random_solarize": _gone("use `keras.layers.Solarization`.")
    },
    "augmenters.barlow": {"augment_barlow": _gone(_VIEWS)},
    "augmenters.simclr": _all_gone("simclr_eval_augmentation simclr_training_augmentation", _VIEWS),
    "base_indexer": {"BaseIndexer": _gone("use `index.Index`.")},
    "callbacks": {
        "EvalCallback": _changed(
            "callbacks.EvalCallback",
            "leaves the model's index alone, and does not print. Retrieval metrics are logged "
            "with the prefix `val_`.",
        ),
        "SplitValidationLoss": _gone(
            "use `callbacks.EvalCallback(..., known_classes=...)`: the same names in the logs."
        ),
    },
    "classification_metrics": _same(
        "classification_metrics",
        "BinaryAccuracy ClassificationMetric F1Score FalsePositiveRate NegativePredictiveValue "
        "Precision Recall make_classification_metric",
    ),
    "distances": {
        "CosineDistance": _changed(
            "distances.CosineDistance", "normalizes its arguments; equal on rows of length 1."
        ),
        "DISTANCES": _gone("use `distances.names()`, and `distances.get(name)` for the objects."),
        "Distance": _changed(
            "distances.Distance",
            "a subclass writes `pairwise(queries, keys)` in place of `call`, and has its name as "
            "a class attribute.",
        ),
        "InnerProductSimilarity": _gone(
            "use `distances.InnerProductDistance`, the negative inner product: smaller is more "
            "similar for every distance."
        ),
        "distance_canonicalizer": _renamed("distances.get"),
        # Of the development branch.
        "get": Fate("same", "distances.get"),
        **_all_gone("deserialize serialize", _SERIALIZE),
        **_same("distances", "EuclideanDistance ManhattanDistance SNRDistance"),
        **_same("distances", "SquaredEuclideanDistance"),
    },
    "evaluators": _all_gone("Evaluator MemoryEvaluator", _EVALUATOR),
    "indexer": {
        "Indexer": _gone(
            "use `index.Index(embedding_size, distance=..., search=...)`: `add`, `lookup`, "
            "`save`, `Index.load`. A folder that it saved is read by "
            "`compat.tensorflow_similarity.convert_index`."
        )
    },
    "layers": {
        "ActivationStdLoggingLayer": _gone(
            "use the metric `training_metrics.EffectiveRank`, or `callbacks.TrainingDoctor`, "
            "which both show a collapse of the embeddings."
        ),
        "GeneralizedMeanPooling": _gone(
            "use `layers.GeneralizedMeanPooling1D` or `GeneralizedMeanPooling2D`."
        ),
        **_same("layers", "GeneralizedMeanPooling1D GeneralizedMeanPooling2D MetricEmbedding"),
    },
    "losses": {
        # Of the development branch.
        "ArcFaceLoss": _changed(
            "losses.ArcFaceLoss",
            "its proxies are a layer, `layers.ProxyHead(classes)`, at the end of the model.",
        ),
        "Barlow": _renamed("losses.BarlowTwinsLoss"),
        "CircleLoss": _changed("losses.CircleLoss", "the paper's joint form: its values differ."),
        "LiftedStructLoss": _changed(
            "losses.LiftedStructLoss", "that of TensorFlow Addons; the branch's was another."
        ),
        "MetricLoss": _changed(
            "losses.MetricLoss",
            "takes no function: a subclass writes `row_loss(rows)`.",
        ),
        "PNLoss": _changed(
            "losses.PNLoss", "the default margin is 1.0; `margin=None` is the soft margin."
        ),
        "TripletLoss": _changed(
            "losses.TripletLoss",
            "the default margin is 1.0; `margin=None` is the soft margin. Write `margin=` by name.",
        ),
        "VicReg": _renamed("losses.VICRegLoss"),
        "XBM": _renamed(
            f"{_OLD}.XBM",
            "`losses.CrossBatchMemory(..., batch_loss=False)`. Evaluation leaves its memory alone.",
        ),
        **_same("losses", "MultiNegativesRankLoss MultiSimilarityLoss SimCLRLoss SimSiamLoss"),
        **_same("losses", "SoftNearestNeighborLoss"),
    },
    "losses.circle_loss": {"circle_loss": _gone(_LOSS_FUNCTION)},
    "losses.multinegrank_loss": {"multineg_ranking_loss": _gone(_LOSS_FUNCTION)},
    "losses.multisim_loss": {"multisimilarity_loss": _gone(_LOSS_FUNCTION)},
    "losses.pn_loss": {"pn_loss": _gone(_LOSS_FUNCTION)},
    "losses.simsiam": _all_gone(
        "angular_distance cosine_distance negative_cosine_sim",
        "use `losses.SimSiamLoss(projection_type=...)`.",
    ),
    "losses.softnn_loss": {"soft_nn_loss": _gone(_LOSS_FUNCTION)},
    "losses.triplet_loss": {"triplet_loss": _gone(_LOSS_FUNCTION)},
    "losses.utils": {
        **_all_gone("negative_distances positive_distances semi_hard_easy_mask", _MINING),
        **_all_gone("compute_loss logsumexp", _ROW_LOSS),
    },
    "matchers": {
        "ClassificationMatch": _changed(
            "calibration.ClassificationMatch",
            "has `derive_match` alone; counts and metrics are those of "
            "`calibration.evaluate_classification`.",
        ),
        "MatchMajorityVote": _renamed("calibration.MatchMajorityVote"),
        "MatchNearest": _renamed("calibration.MatchNearest"),
        "make_classification_matcher": _renamed("calibration.make_classification_matcher"),
    },
    "models": {
        "ContrastiveModel": _changed(
            "models.ContrastiveModel",
            "no `algorithm`: the loss and a predictor say which method it is.",
        ),
        "SimilarityModel": _changed(
            "models.SimilarityModel",
            "`model.save` writes one file with the index in it; lookups are columnar.",
        ),
        "create_contrastive_model": _gone(
            "use `models.ContrastiveModel(backbone, projector, predictor)`."
        ),
    },
    "models.contrastive_model": {
        "BN_EPSILON": _gone("pass `epsilon=1.001e-5` to `keras.layers.BatchNormalization`."),
        **_all_gone(
            "get_predictor get_projector",
            "build a `keras.Sequential` of Dense and BatchNormalization, and pass it to "
            "`models.ContrastiveModel`.",
        ),
    },
    "retrieval_metrics": {
        **_same("retrieval_metrics", "BNDCG MapAtK PrecisionAtK RetrievalMetric"),
        "RecallAtK": _changed(
            "retrieval_metrics.RecallAtK",
            "results call it `hit_rate@k`: `recall@k` is the share of what is relevant. "
            f"`{_OLD}.RecallAtK` is called `recall@k`.",
        ),
    },
    "retrieval_metrics.utils": {
        "compute_match_mask": _gone("write `lookup_labels == query_labels[:, None]`.")
    },
    "samplers": {
        "MultiShotFileSampler": _changed("samplers.MultiShotFileSampler", "no `warmup`."),
        "MultiShotMemorySampler": _changed(
            "samplers.MultiShotMemorySampler", "no `warmup`; `sampler[i]` is batch i."
        ),
        "SingleShotMemorySampler": _changed(
            "samplers.SingleShotMemorySampler",
            "no `warmup`; the views of a batch follow one another.",
        ),
        "TFDatasetMultiShotMemorySampler": _changed(
            "samplers.TFDatasetMultiShotMemorySampler", "no `warmup`."
        ),
        **_same("samplers", "TFRecordDatasetSampler select_examples"),
    },
    "samplers.file_samplers": {
        "T": _gone("use `typing.TypeVar`."),
        "load_image": _renamed("samplers.load_image"),
    },
    "samplers.samplers": {
        "Batch": _TYPE,
        "Sampler": _changed("samplers.Sampler", "a subclass writes `take(positions)`."),
        "Scheduler": _TYPE,
    },
    "samplers.tfdata_sampler": {
        "TFDataSampler": _changed("samplers.TFDataSampler", "no `warmup`."),
        **_all_gone(
            "apply_augmenter_ds create_choices_dataset create_grouped_dataset filter_classes",
            _DATASET,
        ),
    },
    "samplers.tfdataset_samplers": {"PreProcessFn": _TYPE, "T": _gone("use `typing.TypeVar`.")},
    "schedules": {
        "WarmupCosineDecay": _renamed(
            f"{_OLD}.WarmupCosineDecay", "`keras.optimizers.schedules.CosineDecay` with warm-up."
        )
    },
    "search": {
        "FaissSearch": _gone(f'{_ENGINE} This one is "faiss".'),
        "LinearSearch": _gone(f'{_ENGINE} This one is "exact".'),
        "NMSLibSearch": _gone(f'{_ENGINE} This one is "nmslib".'),
        "Search": _gone(_ENGINE),
        "make_search": _gone(_ENGINE),
        # Of the development branch.
        **_all_gone("deserialize get serialize", _ENGINE),
    },
    "search.utils": {"SEARCH_ALIASES": _gone(_ENGINE)},
    "stores": _all_gone("CachedStore MemoryStore RedisStore Store", _STORE),
    "stores.utils": {"make_store": _gone(_STORE)},
    "training_metrics": {
        **{
            name: _changed(f"training_metrics.{name}", _MEAN_OF_EPOCH)
            for name in _words(
                "DistanceMetric avg_neg avg_pos max_neg max_pos min_neg min_pos sum_neg sum_pos"
            )
        },
        **{
            name: _changed(
                f"training_metrics.{name}",
                "the mean over queries of nearest negative less farthest positive, with its sign.",
            )
            for name in ["DistanceGapMetric", "dist_gap"]
        },
        "batch_class_ratio": _renamed(f"{_OLD}.batch_class_ratio"),
    },
    "types": {
        **dict.fromkeys(
            [
                "BoolTensor",
                "EqFunc",
                "FloatTensor",
                "IntTensor",
                "PandasDataFrame",
                "Symbol",
                "Tensor",
                "Value",
            ],
            _TYPE,
        ),
        "CalibrationResults": _renamed("calibration.Calibration"),
        "Lookup": _renamed("index.Lookup"),
    },
    "utils": {
        name: _renamed(f"{_OLD}.{name}")
        for name in [
            "is_tensor_or_variable",
            "tf_cap_memory",
            "unpack_lookup_distances",
            "unpack_lookup_labels",
        ]
    }
    | {
        "unpack_results": _gone(
            "`callbacks.EvalCallback` puts its values into `logs`; read `history.history`."
        )
    },
    "visualization": {
        "confusion_matrix": _changed(
            "visualization.confusion_matrix", "returns a Matplotlib figure; -1, no match, counts."
        ),
        "projector": _changed(
            "visualization.projector", "a page of its own, without Bokeh; fewer arguments."
        ),
        "visualize_views": _gone(
            "show the views with Matplotlib: `for axis, view in zip(axes.flat, views): "
            "axis.imshow(view)`."
        ),
        "viz_neigbors_imgs": _renamed("visualization.viz_neighbors_imgs"),
    },
    "visualization.projector": {
        "tensor2images": _gone("pass the images to `visualization.projector(images=...)`.")
    },
}

# The aliases of types keep their names.
for _names in SIMILARITY.values():
    for _name, _fate in _names.items():
        if _fate is _TYPE:
            _names[_name] = dataclasses.replace(_fate, target=f"compat.types.{_name}")

_CLASS = "another field than metric learning: Keras has it, or it is a few lines of `keras.ops`."
ADDONS: dict[str, Fate] = {
    "ContrastiveLoss": Fate("same", "losses.ContrastiveLoss"),
    "LiftedStructLoss": Fate("same", "losses.LiftedStructLoss"),
    "NpairsLoss": Fate("same", "losses.NpairsLoss"),
    "NpairsMultilabelLoss": Fate("same", "losses.NpairsMultilabelLoss"),
    "TripletHardLoss": Fate("same", "losses.TripletHardLoss"),
    "TripletSemiHardLoss": _changed(
        "losses.TripletSemiHardLoss",
        'the default distance is the squared one of versions up to 0.10. For "L2", the default '
        "since 0.11, use `compat.tensorflow_addons.TripletSemiHardLoss`.",
    ),
    **{
        name: _renamed(f"compat.tensorflow_addons.{name}")
        for name in [
            "contrastive_loss",
            "lifted_struct_loss",
            "npairs_loss",
            "npairs_multilabel_loss",
            "triplet_hard_loss",
            "triplet_semihard_loss",
        ]
    },
    **_all_gone("GIoULoss giou_loss", f"{_CLASS} KerasHub and KerasCV have it."),
    "pairwise_distance": _renamed("compat.tensorflow_addons.pairwise_distance"),
    "angular_distance": _renamed("compat.tensorflow_addons.angular_distance"),
    "PinballLoss": _gone(_CLASS),
    "pinball_loss": _gone(_CLASS),
    **_all_gone(
        "SigmoidFocalCrossEntropy sigmoid_focal_crossentropy",
        "use `keras.losses.BinaryFocalCrossentropy`.",
    ),
    **_all_gone("SparsemaxLoss sparsemax_loss", f"{_CLASS} See `keras.ops.sparsemax`."),
    "WeightedKappaLoss": _gone(_CLASS),
}

_SUBMODULES = """
architectures.convnext architectures.efficientnet architectures.resnet18 architectures.resnet50
architectures.utils augmenters.augmentation_utils augmenters.augmentation_utils.blur
augmenters.augmentation_utils.color_jitter augmenters.augmentation_utils.cropping
augmenters.augmentation_utils.flip augmenters.augmentation_utils.random_apply
augmenters.augmentation_utils.solarize augmenters.augmenter augmenters.barlow
augmenters.contrastive augmenters.simclr callbacks.eval_callback
classification_metrics.binary_accuracy classification_metrics.classification_metric
classification_metrics.f1_score classification_metrics.false_positive_rate
classification_metrics.negative_predictive_value classification_metrics.precision
classification_metrics.recall classification_metrics.utils distances.distance
evaluators.evaluator
evaluators.memory_evaluator losses.arcface_loss losses.barlow losses.circle_loss
losses.lifted_structure_loss losses.metric_loss losses.multinegrank_loss
losses.multisim_loss losses.pn_loss losses.simclr losses.simsiam losses.softnn_loss
losses.triplet_loss losses.utils losses.vicreg losses.xbm_loss
matchers.classification_match matchers.match_majority_vote matchers.match_nearest matchers.utils
models.contrastive_model models.similarity_model retrieval_metrics.bndcg
retrieval_metrics.map_at_k retrieval_metrics.precision_at_k retrieval_metrics.recall_at_k
retrieval_metrics.retrieval_metric retrieval_metrics.utils samplers.file_samplers
samplers.memory_samplers samplers.samplers samplers.tfdata_sampler samplers.tfdataset_samplers
samplers.tfrecords_samplers samplers.utils search.faiss search.faiss_search search.linear
search.linear_search search.nmslib search.nmslib_search search.search search.utils
stores.cached stores.cached_store stores.memory stores.memory_store stores.redis
stores.redis_store stores.store stores.utils training_metrics.distance_metrics
training_metrics.utils visualization.confusion_matrix_viz visualization.neighbors_viz
visualization.projector visualization.vizualize_views
"""
#: The modules that TensorFlow Similarity had, below `tensorflow_similarity`.
MODULES: frozenset[str] = frozenset(
    [module for module in SIMILARITY if "." not in module] + ["api", *_SUBMODULES.split()]
)
MODULES |= {f"api.{module}" for module in MODULES if "." not in module and module != "api"}
