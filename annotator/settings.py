"""Settings: defaults, then ``annotator.toml``, then ``ANNOTATOR_*`` variables.

Every setting is a field of :class:`Settings`; the key in the file and the
variable are made from its name (``batch_size``, ``ANNOTATOR_BATCH_SIZE``). A
text setting can also be read from a file that ``ANNOTATOR_<NAME>_FILE`` names,
which is how secrets reach a container.
"""

from __future__ import annotations

import itertools
import math
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "ANNOTATOR_"
FILE_NAME = "annotator.toml"
LARGEST = 2**31 - 1


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("annotator")


def _setting(
    default: Any,
    meaning: str,
    check: Callable[[Any], bool] | None = None,
    must: str = "",
    *,
    secret: bool = False,
) -> Any:
    """Declare a setting: its default, its meaning, what a value must be, if it is never shown."""
    return field(
        default=default,
        repr=not secret,
        metadata={"meaning": meaning, "check": check, "must": must},
    )


def _positive(value: float) -> bool:
    return value > 0


def _not_negative(value: float) -> bool:
    return value >= 0


def _share(value: float) -> bool:
    return 0 <= value <= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, with its default."""

    home: Path | None = _setting(None, "folder of the embedded database and its logs")
    database_url: str | None = _setting(
        None, "libpq URL of the database; without it the embedded PostgreSQL is used", secret=True
    )
    statement_timeout: int = _setting(
        0, "seconds after which PostgreSQL ends a statement; 0 for never", _not_negative, ">= 0"
    )

    preset: str = _setting(
        "default",
        "how models are trained: `default`, `paper` or a TOML file of differences from one of them",
        lambda v: v in ("default", "paper") or v.endswith(".toml"),
        "default, paper or a path that ends in .toml",
    )
    seed: int = _setting(
        20200330, "seed of everything random", lambda v: 0 <= v < 2**31, "between 0 and 2**31 - 1"
    )
    folds: int = _setting(
        0,
        "folds that whole datasets are grouped into; with 0 `evaluate` leaves out every dataset"
        " by itself, and `retrain` does where there are few of them, else it makes 10 folds",
        lambda v: v == 0 or v >= 2,
        "0 or at least 2",
    )
    quick_datasets: int = _setting(
        12,
        "with folds = 0: up to so many datasets `retrain` leaves out each by itself",
        _positive,
        "> 0",
    )
    minimum_samples: int = _setting(9, "samples a class needs (paper: 9 or 15)", _positive, "> 0")
    minimum_datasets: int = _setting(2, "datasets a class needs", _positive, "> 0")
    tissue_level: str = _setting(
        "term",
        "tissue classes: the most specific terms with enough samples, or groups of terms",
        lambda v: v in ("term", "group"),
        "term or group",
    )
    tissue_groups: str = _setting(
        "ontology",
        "what groups tissues: `ontology` (the imported one, or the paper's Table 2 without one)"
        " or `table2` (the paper's Table 2, on top of the imported ontology)",
        lambda v: v in ("ontology", "table2"),
        "ontology or table2",
    )
    age_limits: tuple[float, ...] = _setting(
        (0.0, 65.0, 110.0),
        "limits of the age intervals in years, ascending; the first interval includes its start",
        lambda v: len(v) >= 3 and all(a < b for a, b in itertools.pairwise(v)),
        "at least three ascending numbers",
    )
    learn_from_reviews: bool = _setting(True, "accepted and corrected labels join the next cohort")
    gate_margin: float = _setting(
        0.01, "how far a candidate may fall behind the live release", _share, "between 0 and 1"
    )
    baseline_margin: float = _setting(
        0.0,
        "how far a candidate must be above its baselines; -1 lets every candidate through",
        lambda v: -1 <= v <= 1,
        "between -1 and 1",
    )

    target_precision: float = _setting(
        0.95,
        "share of the suggestions that should be right: what is less sure is answered by a broader"
        " term, or not at all",
        lambda v: 0.5 <= v < 1,
        "between 0.5 and 1",
    )
    set_coverage: float = _setting(
        0.9,
        "share of the samples of new datasets whose prediction set should hold the true class",
        lambda v: 0.5 <= v < 1,
        "between 0.5 and 1",
    )
    maximum_novelty: float = _setting(
        0.99,
        "samples that are less like the training samples than this share of held-out samples"
        " get no suggestion; 1 lets all through",
        _share,
        "between 0 and 1",
    )

    cross_validation_folds: int = _setting(
        5,
        "folds of the random cross-validation whose figures stand beside those of held-out"
        " datasets; 0 for none",
        lambda v: v == 0 or v >= 2,
        "0 or at least 2",
    )
    marker_count: int = _setting(300, "markers stored for a class (paper: 300)", _positive, "> 0")
    similarity_samples: int = _setting(
        20,
        "maximum number of samples per class used to compute class similarity",
        _positive,
        "> 0",
    )
    feature_sets: tuple[Path, ...] = _setting(
        (), "GMT files whose sets are looked for among the markers, separated by commas"
    )

    keep_releases: int = _setting(
        5, "retired and rejected releases of a field whose models are kept", _not_negative, ">= 0"
    )
    report_folder: Path | None = _setting(
        None, "folder of the reports that a retraining writes; `reports` under `home` by default"
    )
    keep_reports: int = _setting(
        5,
        "newest releases of a field whose reports are kept; the live one's always is",
        _not_negative,
        ">= 0",
    )

    parallel_backend: str = _setting("loky", "joblib backend that folds run on")
    workers: int = _setting(
        0, "processes that folds run in; 0 for one a core", _not_negative, ">= 0"
    )

    batch_size: int = _setting(256, "samples claimed at a time, at most", _positive, "> 0")
    lease_seconds: int = _setting(600, "how long a claim holds", _positive, "> 0")
    top_contributions: int = _setting(
        20, "contributing sRNAs stored for a prediction and model", _positive, "> 0"
    )
    minimum_reads: int = _setting(
        1000,
        "mapped reads that a sample must have to be annotated or learned from",
        _not_negative,
        ">= 0",
    )
    minimum_known_features: float = _setting(
        0.2,
        "features that a sample must express to be annotated or learned from, as a share of what"
        " is usual: of the release's features, or of those that the labelled samples express",
        _share,
        "between 0 and 1",
    )

    poll_seconds: int = _setting(60, "how often the daemon looks for samples", _positive, "> 0")
    heartbeat_seconds: int = _setting(10, "how often the daemon says it lives", _positive, "> 0")
    retrain_cron: str = _setting("0 2 * * *", "when the daemon retrains, cron in UTC")
    metrics_port: int = _setting(
        0,
        "port on which the daemon serves figures to Prometheus; 0 for none",
        lambda v: 0 <= v <= 65535,
        "between 0 and 65535",
    )
    metrics_host: str = _setting("127.0.0.1", "address that the figures are served on")
    drift_days: int = _setting(
        30, "days within which samples came or changed that drift is measured on", _positive, "> 0"
    )
    log_format: str = _setting(
        "text", "log lines as text or json", lambda v: v in ("text", "json"), "text or json"
    )

    def home_folder(self) -> Path:
        """Return the folder of the embedded database."""
        return self.home if self.home is not None else _default_home()

    def reports_folder(self) -> Path:
        """Return the folder of the reports that a retraining writes."""
        folder = self.report_folder
        return folder if folder is not None else self.home_folder() / "reports"


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _parse_bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ValueError("true or false")


def _parse_several(value: object, convert: Callable[[Any], Any]) -> tuple[Any, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("values separated by commas")
    return tuple(convert(part) for part in parts)


def _path(value: Any) -> Path:
    if not str(value).strip():
        raise ValueError("a file")
    return Path(str(value).strip()).expanduser()


def _convert(annotation: str, value: object) -> Any:
    """Turn a TOML value or the text of a variable into the field's type."""
    if annotation == "bool":
        return value if isinstance(value, bool) else _parse_bool(str(value))
    if isinstance(value, bool):
        raise ValueError(annotation)
    if annotation == "int":
        number = value if isinstance(value, int) else int(str(value))
        if abs(number) > LARGEST:
            raise ValueError("too large")
        return number
    if annotation == "float":
        return _finite(str(value))
    if annotation.startswith("tuple[float"):
        return _parse_several(value, _finite)
    if annotation.startswith("tuple[Path"):
        return _parse_several(value, _path)
    if annotation.startswith("Path"):
        return Path(str(value)).expanduser()
    if not isinstance(value, str):
        raise ValueError("text")
    return value


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple[float": "numbers separated by commas",
    "tuple[Path": "paths separated by commas",
    "Path": "a path",
}


def _in_words(annotation: str) -> str:
    """Say what a value must be, from the type of its setting."""
    return next((words for start, words in _WORDS.items() if annotation.startswith(start)), "text")


def _from_file(path: Path, names: set[str]) -> dict[str, tuple[object, str]]:
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
) -> dict[str, tuple[object, str]]:
    found: dict[str, tuple[object, str]] = {}
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
    declared = {item.name: item for item in fields(Settings)}
    named = environment.get(PREFIX + "CONFIG")
    if file is None and named:
        file = Path(named)
    if file is None and Path(FILE_NAME).is_file():
        file = Path(FILE_NAME)
    raw = _from_file(file, set(declared)) if file is not None else {}
    raw |= _from_environment(environment, set(declared))
    values: dict[str, Any] = {}
    for name, (value, source) in raw.items():
        item = declared[name]
        shown = repr(value) if item.repr else "what is given"
        try:
            converted = _convert(str(item.type), value)
        except (ValueError, RuntimeError) as error:  # RuntimeError: ~nobody has no home
            wanted = _in_words(str(item.type))
            raise SettingsError(f"{source}: {shown} is not {wanted}") from error
        check = item.metadata["check"]
        if check is not None and not check(converted):
            raise SettingsError(f"{source}: {shown} must be {item.metadata['must']}")
        values[name] = converted
    return Settings(**values)
