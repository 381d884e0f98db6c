"""Settings: defaults, then ``annotator.toml``, then ``ANNOTATOR_*`` variables.

Every setting is a field of :class:`Settings`; the key in the file and the
variable are made from its name (``batch_size``, ``ANNOTATOR_BATCH_SIZE``). A
setting can also be read from a file that ``ANNOTATOR_<NAME>_FILE`` names,
which is how secrets reach a container.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

from msgspec import Meta

from annotator.domain.fields import FIELDS, FieldDefinition, declared_fields
from annotator.errors import SettingsError
from annotator.plain_data import typed

PREFIX = "ANNOTATOR_"
FILE_NAME = "annotator.toml"
LARGEST = 2**31 - 1

Natural = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
AboveHalf = Annotated[float, Meta(ge=0.5, lt=1)]

ONE_FOLD = ("folds", "cross_validation_folds")
"""Settings for which 1 makes no sense, unlike 0 and larger numbers."""


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("annotator")


def means(description: str) -> Meta:
    """Describe a setting, for the table of settings and for messages."""
    return Meta(description=description)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, with its default."""

    home: Annotated[Path | None, means("folder of the embedded database and its logs")] = None
    database_url: Annotated[
        str | None,
        means("libpq URL of the database; without it the embedded PostgreSQL is used"),
    ] = field(default=None, repr=False)
    statement_timeout: Annotated[
        Natural, means("seconds after which PostgreSQL ends a statement; 0 for never")
    ] = 0

    preset: Annotated[
        str,
        Meta(
            pattern=r"^(default|paper|.+\.toml)$",
            extra={"expected": "default, paper or a path that ends in .toml"},
        ),
        means(
            "how models are trained: `default`, `paper` or a TOML file of differences from one of"
            " them"
        ),
    ] = "default"
    fields: Annotated[
        Mapping[str, FieldDefinition],
        means(
            "fields that differ from the built-in tissue, sex and age, and further ones: a table"
            " per field; in a variable as TOML"
        ),
    ] = field(default_factory=lambda: FIELDS)
    seed: Annotated[Natural, means("seed of everything random")] = 20200330
    folds: Annotated[
        Natural,
        means(
            "folds that whole datasets are grouped into; with 0 `evaluate` leaves out every dataset"
            " by itself, and `retrain` does where there are few of them, else it makes 10 folds"
        ),
    ] = 0
    quick_datasets: Annotated[
        Positive,
        means("with folds = 0: up to so many datasets `retrain` leaves out each by itself"),
    ] = 12
    minimum_samples: Annotated[Positive, means("samples a class needs (paper: 9 or 15)")] = 9
    minimum_datasets: Annotated[Positive, means("datasets a class needs")] = 2
    learn_from_reviews: Annotated[
        bool, means("accepted and corrected labels join the next cohort")
    ] = True
    gate_margin: Annotated[Share, means("how far a candidate may fall behind the live release")] = (
        0.01
    )
    baseline_margin: Annotated[
        float,
        Meta(ge=-1, le=1),
        means("how far a candidate must be above its baselines; -1 lets every candidate through"),
    ] = 0.0

    target_precision: Annotated[
        AboveHalf,
        means(
            "share of the suggestions that should be right: less confident predictions become a"
            " broader term, or no answer"
        ),
    ] = 0.95
    set_coverage: Annotated[
        AboveHalf,
        means(
            "share of the samples of new datasets whose prediction set should hold the true class"
        ),
    ] = 0.9
    maximum_novelty: Annotated[
        Share,
        means(
            "samples that are less like the training samples than this share of held-out samples"
            " get no suggestion; 1 lets all through"
        ),
    ] = 0.99

    cross_validation_folds: Annotated[
        Natural,
        means(
            "folds of the random cross-validation whose metrics stand beside those of held-out"
            " datasets; 0 for none"
        ),
    ] = 5
    marker_count: Annotated[Positive, means("markers stored per class (paper: 300)")] = 300
    similarity_samples: Annotated[
        Positive, means("maximum number of samples per class used to compute class similarity")
    ] = 20
    feature_sets: Annotated[
        tuple[Path, ...],
        means("GMT files whose sets are looked for among the markers, separated by commas"),
    ] = ()

    keep_releases: Annotated[
        Natural, means("retired and rejected releases per field whose models are kept")
    ] = 5
    report_folder: Annotated[
        Path | None,
        means("folder of the reports that a retraining writes; `reports` under `home` by default"),
    ] = None
    keep_reports: Annotated[
        Natural,
        means("newest releases per field whose reports are kept; the live one's always is"),
    ] = 5

    parallel_backend: Annotated[str, means("joblib backend that folds run on")] = "loky"
    workers: Annotated[Natural, means("processes that folds run in; 0 for one per core")] = 0

    batch_size: Annotated[Positive, means("maximum number of samples claimed at a time")] = 256
    lease_seconds: Annotated[Positive, means("how long a claim holds")] = 600
    top_contributions: Annotated[
        Positive, means("contributing sRNAs stored per prediction and model")
    ] = 20
    minimum_reads: Annotated[
        Natural, means("mapped reads that a sample must have to be annotated or learned from")
    ] = 1000
    minimum_known_features: Annotated[
        Share,
        means(
            "features that a sample must express to be annotated or learned from, as a share of"
            " what is usual: of the release's features, or of those that the labelled samples"
            " express"
        ),
    ] = 0.2

    poll_seconds: Annotated[Positive, means("how often the daemon looks for samples")] = 60
    heartbeat_seconds: Annotated[Positive, means("how often the daemon records a heartbeat")] = 10
    retrain_cron: Annotated[str, means("when the daemon retrains, cron in UTC")] = "0 2 * * *"
    metrics_port: Annotated[
        int,
        Meta(ge=0, le=65535),
        means("port on which the daemon serves metrics to Prometheus; 0 for none"),
    ] = 0
    metrics_host: Annotated[str, means("address that the metrics are served on")] = "127.0.0.1"
    drift_days: Annotated[
        Positive, means("days within which samples came or changed that drift is measured on")
    ] = 30
    log_format: Annotated[Literal["text", "json"], means("log lines as text or json")] = "text"

    def home_folder(self) -> Path:
        """Return the folder of the embedded database."""
        return self.home if self.home is not None else _default_home()

    def reports_folder(self) -> Path:
        """Return the folder of the reports that a retraining writes."""
        folder = self.report_folder
        return folder if folder is not None else self.home_folder() / "reports"


@cache
def _types() -> Mapping[str, Any]:
    return get_type_hints(Settings, include_extras=True)


def description_of(name: str) -> str:
    """Return what a setting means, in words."""
    return str(next(meta.description for meta in _types()[name].__metadata__ if meta.description))


def _problem(name: str, error: ValueError) -> str:
    """Return why a value was refused, in words."""
    for meta in _types()[name].__metadata__:
        if meta.extra is not None:
            return f"expected {meta.extra['expected']}"
    text = str(error)
    return text[0].lower() + text[1:]


def _value(name: str, given: Any, *, is_text: bool) -> Any:
    """Turn a TOML value, or the text of a variable, into the value of a setting.

    Raises
    ------
    ValueError
        It is of the wrong type or out of its range.
    """
    if name == "fields":
        return declared_fields(tomllib.loads(given) if is_text else given)
    kind = _types()[name]
    if is_text and get_origin(kind.__origin__) is tuple:
        given = given.split(",")
    value = typed(given, kind, from_text=is_text)
    if name in ONE_FOLD and value == 1:
        raise ValueError("one fold leaves nothing to train on; give 0 or at least 2")
    return value


def _from_file(path: Path, names: set[str]) -> dict[str, tuple[Any, str]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML: {error}") from error
    unknown = sorted(set(content) - names)
    if unknown:
        raise SettingsError(f"{path}: unknown setting {unknown[0]!r}; known: {sorted(names)}")
    return {key: (value, f"{path}: {key}") for key, value in content.items()}


def _from_environment(
    environment: Mapping[str, str], names: set[str]
) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        variable = PREFIX + name.upper()
        if environment.get(variable, "") != "":
            found[name] = (environment[variable], variable)
        elif environment.get(f"{variable}_FILE", "") != "":
            path = environment[f"{variable}_FILE"]
            try:
                found[name] = (Path(path).read_text(encoding="utf-8").strip(), f"{variable}_FILE")
            except (OSError, UnicodeDecodeError) as error:
                if "://" in path or "=" in path:  # the secret itself, given for its file
                    raise SettingsError(
                        f"{variable}_FILE: must name a file that holds the setting; what it"
                        " names is none"
                    ) from None
                raise SettingsError(f"{variable}_FILE: {path} cannot be read: {error}") from error
    return found


def load_settings(
    environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """Read the settings.

    Parameters
    ----------
    environment
        Variables; the process's own by default.
    file
        Settings file. By default ``ANNOTATOR_CONFIG`` names it, else
        ``annotator.toml`` in the working folder is read where it exists.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        A setting is unknown, of the wrong type or out of its range, or the
        file cannot be read.
    """
    environment = os.environ if environment is None else environment
    shown = {item.name: item.repr for item in fields(Settings)}
    named = environment.get(PREFIX + "CONFIG")
    if file is None and named:
        file = Path(named)
    if file is None and Path(FILE_NAME).is_file():
        file = Path(FILE_NAME)
    raw = _from_file(file, set(shown)) if file is not None else {}
    of_variables = _from_environment(environment, set(shown))
    values: dict[str, Any] = {}
    for name, (given, source) in (raw | of_variables).items():
        try:
            values[name] = _value(name, given, is_text=name in of_variables)
        except ValueError as error:
            what = repr(given) if shown[name] else "what is given"
            raise SettingsError(
                f"{source}: {what} is not accepted: {_problem(name, error)}"
                f" ({name}: {description_of(name)})"
            ) from error
    return Settings(**values)
