"""The protocol of an approximate search engine."""

from __future__ import annotations

import abc
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._extras import missing

__all__ = ["Engine"]


class Engine(abc.ABC):
    """An immutable approximate searcher over the rows of one matrix.

    A subclass writes `build`, `search`, `content` and `load`, and sets `name` and
    `distances`; `register` makes it a value of `search=`. The index does everything
    else for all engines: ids, additions, deletions, filters, true distances, padding,
    checks of arguments, measuring recall. What an engine gets is valid: finite float32,
    C-contiguous, of the right size, and at least one row.

    The page *An engine of your own* has worked examples.

    Args:
        distance: The space to search, one of `distances`; kept as `self.distance`.
        params: Parameters of the engine, any of `parameters` and `options`.

    Raises:
        ImportError: If the library is not installed.
        TypeError: If a parameter has the wrong type.
        ValueError: If a parameter is unknown, or out of range.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Engine, register

    @register
    class FirstEngine(Engine):
        '''Gives the first rows, to show what an engine is.'''

        name = "first"
        distances = frozenset(["euclidean"])

        def build(self, vectors):
            self._rows = len(vectors)

        def search(self, queries, k):
            return np.tile(np.arange(k), (len(queries), 1))

        def content(self):
            yield str(self._rows).encode()

        def load(self, path):
            with open(path) as file:
                self._rows = int(file.read())
    ```
    """

    #: The name by which users choose it.
    name: ClassVar[str]
    #: The spaces that it searches, of `distances.SPACES`: the index asks a distance which it ranks
    #: in, and hands over rows that are transformed for it.
    distances: ClassVar[frozenset[str]]
    #: The module of its library, and the extra of this package that installs it; None
    #: for what is always there.
    library: ClassVar[str | None] = None
    extra: ClassVar[str | None] = None
    #: Whole numbers that users may pass, with the smallest that make sense.
    parameters: ClassVar[Mapping[str, int]] = {}
    #: Names that users may pass, with what each may be; the first is the default.
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: Parameters to build with, from quick to thorough: the next are tried where no
    #: effort reaches the recall that is wanted.
    builds: ClassVar[tuple[Mapping[str, int], ...]] = ({},)
    #: What may be tried for `effort`, from fast to thorough. Known after `build`.
    efforts: tuple[int, ...] = ()
    #: Whether `search="auto"` may choose it, after a trial on some of the records.
    automatic: ClassVar[bool] = True
    #: Whether it can search in the rows it was built from, without a copy.
    in_place: ClassVar[bool] = False
    #: Whether it may keep the rows it is given: False where they are no rows of the index.
    may_share: bool = True
    #: The rows it was built of, where it searches in these and keeps no copy. They are
    #: then not in its `content`. Known after `build`.
    shared: np.ndarray | None = None

    def __init__(self, distance: str, params: Mapping[str, Any]) -> None:
        self.distance = distance
        self.params = dict(params)
        for key, value in self.params.items():
            self._check(key, value)
        #: How hard a search tries (`ef`, `nprobe`, …): more is slower and finds more.
        self.effort: int = self.fixed_effort or (self.efforts[0] if self.efforts else 0)
        if self.library is not None:
            self._library = self._import()

    @property
    def fixed_effort(self) -> int | None:
        """The effort a user asked for through `params`; None: to be measured."""
        return None

    @classmethod
    def installed(cls) -> bool:
        """Whether its library is there. Does not import it."""
        # Of a submodule's package: finding the submodule would import the package.
        package = cls.library and cls.library.partition(".")[0]
        return not package or importlib.util.find_spec(package) is not None

    @abc.abstractmethod
    def build(self, vectors: np.ndarray) -> None:
        """Builds the searcher, from float32 `[n, dim]`. Called once, before anything else.

        The rows never change, and may be kept.
        """

    @abc.abstractmethod
    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Near rows of each query, in any order.

        Several threads may call this at once.

        Args:
            queries: float32 `[q, dim]`, `q >= 1`.
            k: How many, between 1 and the number of rows.

        Returns:
            Positions in what was built, int64 `[q, m]`, each at most once for a
            query; -1 where nothing was found. More than k are welcome where
            distances are rough: the index keeps the nearest by true distance.
        """

    @abc.abstractmethod
    def content(self) -> Iterator[bytes]:
        """All there is to save but `shared`, in pieces. Several threads may call this at once."""

    @abc.abstractmethod
    def load(self, path: str, vectors: np.ndarray | None = None) -> None:
        """Reads a file with that content, in place of `build`.

        Args:
            path: The file. It has been verified, and goes away afterwards.
            vectors: The rows it was built of, if it was `shared` when it was saved. Those
                of engines that never share are not asked to take this.
        """

    def check(self, path: str, rows: int, dim: int) -> None:  # noqa: B027 - may do nothing
        """Looks at a file with that content, which anybody may have written, before `load`.

        An engine whose library follows what a file says without a look, and may crash, checks
        here what searches will follow. The default checks nothing.

        Args:
            path: The file.
            rows: The rows that it must be of.
            dim: Numbers in each.

        Raises:
            ValueError: If it must not be loaded.
        """

    @classmethod
    def _import(cls) -> Any:
        name = str(cls.library)
        try:
            if name in sys.modules:
                return importlib.import_module(name)
            with warnings.catch_warnings():
                # What SWIG makes, faiss before 1.14 among it, warns of its own types, and takes
                # the process down where warnings are errors.
                warnings.filterwarnings("ignore", "builtin type .* has no __module__")
                return importlib.import_module(name)
        except ImportError as error:
            if cls.extra is None:  # an engine from another package
                raise ImportError(
                    f"search={cls.name!r} needs the library {name!r}, which cannot be "
                    f"imported ({error}). Install it with pip."
                ) from error
            raise missing(f"search={cls.name!r}", name, str(cls.extra)) from error

    def _check(self, key: str, value: Any) -> None:
        if key in self.parameters:
            checks.count(value, f"search_params[{key!r}]", minimum=self.parameters[key])
        elif key not in self.options:
            raise ValueError(
                f"Unknown parameter of the engine {self.name!r} in `search_params`. Expected any "
                f"of {sorted([*self.parameters, *self.options])}. Received: {key!r}."
            )
        elif value not in self.options[key]:
            raise ValueError(
                f"`search_params[{key!r}]` must be one of {list(self.options[key])}. "
                f"Received: {value!r}."
            )
