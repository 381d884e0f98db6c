"""Settings: defaults, then ``annotator.toml``, then ``ANNOTATOR_*`` variables.

Every setting is a field of :class:`Settings`; the key in the file and the
variable are made from its name (``batch_size``, ``ANNOTATOR_BATCH_SIZE``). A
setting can also be read from a file that ``ANNOTATOR_<NAME>_FILE`` names,
as is usual for secrets in containers.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

from msgspec import Meta

from annotator.domain.fields import FIELDS, FieldDefinition, declared_fields
from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.domain.schedule import parse_schedule
from annotator.errors import SettingsError
from annotator.plain_data import typed

PREFIX = "ANNOTATOR_"
FILE_NAME = "annotator.toml"
LARGEST = 2**31 - 1

Natural = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
SchedulerAddress = Annotated[str, Meta(pattern=r"^(tcp|tls)://[^/]+:[0-9]+$")]
AboveHalf = Annotated[float, Meta(ge=0.5, lt=1)]

ONE_FOLD = ("folds", "cross_validation_folds")
"""Settings that accept 0 and larger numbers, but not 1."""


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("annotator")


def means(description: str) -> Meta:
    """Describe a setting, for the table of settings and for messages."""
    return Meta(description=description)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, with their defaults."""

    home: Annotated[Path | None, means("folder of the embedded database and its logs")] = None
    database_url: Annotated[
        str | None,
        means("libpq URL of the database; without it the embedded PostgreSQL is used"),
    ] = field(default=None, repr=False)
    statement_timeout: Annotated[
        Natural, means("seconds after which PostgreSQL ends a statement; 0 for never")
    ] = 0
    lock_timeout: Annotated[
        Positive,
        means("seconds after which a statement stops waiting for the lock of another session"),
    ] = 60

    preset: Annotated[
        str,
        Meta(
            pattern=r"^(default|paper|.+\.toml)$",
            extra={"expected": "default, paper or a path that ends in .toml"},
        ),
        means(
            "how models are trained: `default`, `paper` or a TOML file with differences from one of"
            " them"
        ),
    ] = "default"
    fields: Annotated[
        Mapping[str, FieldDefinition],
        means(
            "changes to the built-in fields tissue, sex and age, and declared fields: one table per"
            " field; in a variable as TOML"
        ),
    ] = field(default_factory=lambda: FIELDS)
    seed: Annotated[Natural, means("seed of all random numbers")] = 20200330
    folds: Annotated[
        Natural,
        means(
            "number of folds that whole datasets are grouped into; with 0 `evaluate` holds out each"
            " dataset by itself, and `retrain` does so if there are few datasets, else it uses 10"
            " folds"
        ),
    ] = 0
    quick_datasets: Annotated[
        Positive,
        means("with `folds = 0`: maximum number of datasets that `retrain` holds out one by one"),
    ] = 12
    minimum_samples: Annotated[
        Positive, means("minimum number of samples per class (paper: 9 or 15)")
    ] = 9
    minimum_datasets: Annotated[Positive, means("minimum number of datasets per class")] = 2
    default_organism: Annotated[
        str,
        Meta(pattern=r"\S", extra={"expected": "the name of an organism"}),
        means("organism of samples without one, by any of its names"),
    ] = DEFAULT_ORGANISM
    learn_from_reviews: Annotated[
        bool, means("whether accepted and corrected values are labels in the next cohort")
    ] = True
    gate_margin: Annotated[
        Share, means("how far a candidate's metrics may be below those of the live release")
    ] = 0.01
    baseline_margin: Annotated[
        float,
        Meta(ge=-1, le=1),
        means("how far a candidate must be above its baselines; -1 passes every candidate"),
    ] = 0.0

    target_precision: Annotated[
        AboveHalf,
        means(
            "share of the suggestions that should be right: less confident predictions become a"
            " broader term or an abstention"
        ),
    ] = 0.95
    set_coverage: Annotated[
        AboveHalf,
        means(
            "share of samples in new datasets whose prediction set should contain the true class"
        ),
    ] = 0.9
    maximum_novelty: Annotated[
        Share,
        means("novelty above which a sample gets no suggestion; 1 for no limit"),
    ] = 0.99

    cross_validation_folds: Annotated[
        Natural,
        means(
            "folds of the random cross-validation, whose metrics are reported beside those of"
            " held-out datasets; 0 for none"
        ),
    ] = 5
    marker_count: Annotated[Positive, means("number of markers stored per class (paper: 300)")] = (
        300
    )
    similarity_samples: Annotated[
        Positive, means("maximum number of samples per class used to compute class similarity")
    ] = 20
    feature_sets: Annotated[
        tuple[Path, ...],
        means("GMT files of sets that are tested for enrichment, separated by commas"),
    ] = ()

    keep_releases: Annotated[
        Natural,
        means(
            "number of retired and rejected releases per field and organism whose models are kept"
        ),
    ] = 5
    keep_predictions: Annotated[
        Natural | None,
        means(
            "number of superseded releases per field and organism whose predictions are kept; all"
            " by default, and always those that are current or were decided on"
        ),
    ] = None
    report_folder: Annotated[
        Path | None,
        means("folder for the reports that retraining writes; `reports` under `home` by default"),
    ] = None
    keep_reports: Annotated[
        Natural,
        means(
            "number of newest releases per field and organism whose reports are kept; that of the"
            " live release always is"
        ),
    ] = 5

    parallel_backend: Annotated[
        Literal["loky", "sequential", "dask"],
        Meta(extra={"expected": "loky, sequential or dask"}),
        means(
            "what runs folds and fits: `loky` for processes of this machine, `sequential` for this"
            " process alone, `dask` for a cluster"
        ),
    ] = "loky"
    workers: Annotated[
        Natural,
        means("number of processes of this machine that run folds and fits; 0 for one per core"),
    ] = 0
    dask_scheduler: Annotated[
        SchedulerAddress | None,
        Meta(extra={"expected": "tcp://HOST:PORT or tls://HOST:PORT"}),
        means("address of the Dask scheduler, `tcp://HOST:PORT` or `tls://HOST:PORT`"),
    ] = None
    dask_ca_file: Annotated[
        Path | None, means("PEM file of the authority that signed the cluster's TLS certificates")
    ] = None
    dask_certificate: Annotated[
        Path | None, means("PEM file of this installation's certificate for the cluster")
    ] = None
    dask_key: Annotated[Path | None, means("PEM file of the private key of that certificate")] = (
        None
    )

    device: Annotated[
        Literal["cpu", "gpu"],
        Meta(extra={"expected": "cpu or gpu"}),
        means("device that networks are trained and explained on; `gpu` needs the extra `gpu`"),
    ] = "cpu"
    batch_size: Annotated[Positive, means("maximum number of samples claimed at a time")] = 256
    lease_seconds: Annotated[Positive, means("seconds until the lease of a claim expires")] = 600
    top_contributions: Annotated[
        Positive, means("number of contributing features stored per prediction and model kind")
    ] = 20
    minimum_reads: Annotated[
        Natural,
        means(
            "minimum number of mapped reads, of the field's kinds of features, for a sample to be"
            " annotated or learned from"
        ),
    ] = 1000
    minimum_known_features: Annotated[
        Share,
        means(
            "minimum number of features that a sample expresses to be annotated or learned from,"
            " as a share of the usual number: of the release's features when annotating, of those"
            " that labelled samples express when learning"
        ),
    ] = 0.2

    poll_seconds: Annotated[
        Positive, means("seconds after which the daemon looks for pending samples again")
    ] = 60
    heartbeat_seconds: Annotated[Positive, means("seconds between heartbeats of the daemon")] = 10
    retrain_cron: Annotated[str, means("crontab(5) line in UTC: when the daemon retrains")] = (
        "0 2 * * *"
    )
    retrain_hours: Annotated[
        Positive, means("hours after which a retraining that has not ended counts as stuck")
    ] = 24
    metrics_port: Annotated[
        int,
        Meta(ge=0, le=65535),
        means("port on which the daemon serves metrics to Prometheus; 0 for none"),
    ] = 0
    metrics_host: Annotated[str, means("address on which the metrics are served")] = "127.0.0.1"
    drift_days: Annotated[
        Positive,
        means("drift is measured on samples that were added or changed in this number of days"),
    ] = 30
    log_format: Annotated[Literal["text", "json"], means("format of log lines")] = "text"

    def home_folder(self) -> Path:
        """Return the folder of the embedded database."""
        return self.home if self.home is not None else _default_home()

    def reports_folder(self) -> Path:
        """Return the folder for the reports that retraining writes."""
        folder = self.report_folder
        return folder if folder is not None else self.home_folder() / "reports"


@cache
def _types() -> Mapping[str, Any]:
    return get_type_hints(Settings, include_extras=True)


def description_of(name: str) -> str:
    """Return the description of a setting."""
    return str(next(meta.description for meta in _types()[name].__metadata__ if meta.description))


def _problem(name: str, error: ValueError) -> str:
    """Return the reason why a value was refused."""
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
        The value is of the wrong type or out of range.
    """
    if name == "fields":
        return declared_fields(tomllib.loads(given) if is_text else given)
    kind = _types()[name]
    if kind.__origin__ == Path | None and "://" in str(given):
        raise ValueError("expected a folder, not a URL; that of a database is database_url")
    if is_text and get_origin(kind.__origin__) is tuple:
        given = given.split(",")
    value = typed(given, kind, from_text=is_text)
    if name == "retrain_cron":
        parse_schedule(value)  # refused here, not when the daemon starts
    if name in ONE_FOLD and value == 1:
        raise ValueError("one fold leaves nothing to train on; give 0 or at least 2")
    return value


def _check_owner(path: Path, opened: os.stat_result) -> None:
    """Refuse a file that was found, not named, if another account than root can change it."""
    owners = {opened.st_uid, path.lstat().st_uid}
    if not owners <= {0, os.geteuid()} or opened.st_mode & stat.S_IWOTH:
        raise SettingsError(
            f"{path}: is not read, because it is in the working folder and another account owns it"
            f" or may change it; give --config {path} or ANNOTATOR_CONFIG if you trust it"
        )


def _from_file(path: Path, names: set[str], *, is_named: bool) -> dict[str, tuple[Any, str]]:
    try:
        with path.open("rb") as opened:
            if not is_named:
                _check_owner(path, os.fstat(opened.fileno()))
            content = tomllib.load(opened)
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
                if "://" in path or "=" in path:  # the secret itself instead of its file
                    raise SettingsError(
                        f"{variable}_FILE: must name a file that contains the setting, but its"
                        " value is not the name of a file"
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
        Environment variables; those of the process by default.
    file
        Settings file. By default the one that ``ANNOTATOR_CONFIG`` names, else
        ``annotator.toml`` in the working folder if it exists. That one has to belong
        to the account of this process or to root.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        A setting is unknown, of the wrong type or out of range, or the
        file cannot be read or belongs to another account.
    """
    environment = os.environ if environment is None else environment
    shown = {item.name: item.repr for item in fields(Settings)}
    named = environment.get(PREFIX + "CONFIG")
    if file is None and named:
        file = Path(named)
    is_named = file is not None
    if file is None and Path(FILE_NAME).is_file():
        file = Path(FILE_NAME)
    raw = _from_file(file, set(shown), is_named=is_named) if file is not None else {}
    of_variables = _from_environment(environment, set(shown))
    values: dict[str, Any] = {}
    for name, (given, source) in (raw | of_variables).items():
        try:
            values[name] = _value(name, given, is_text=name in of_variables)
        except ValueError as error:
            # A URL may contain a password.
            is_shown = shown[name] and not isinstance(given, dict) and "://" not in str(given)
            what = repr(given) if is_shown else "the given value"
            raise SettingsError(
                f"{source}: {what} is not accepted: {_problem(name, error)}"
                f" ({name}: {description_of(name)})"
            ) from error
    return Settings(**values)
