"""The command group and the shared parts of its commands: options, database, output files."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator import __version__
from annotator.domain.fields import FIELDS
from annotator.domain.organisms import organism_named
from annotator.domain.wording import visible
from annotator.errors import InputError, NeedsPersonError
from annotator.logs import configure_logging
from annotator.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.store.server.connection import Database

FILE = click.Path(path_type=Path)


class FieldName(click.ParamType[str]):
    """The name of a field, built in or declared in the settings."""

    name = "field"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a field that is not in the settings."""
        settings = ctx.find_object(Settings) if ctx is not None else None
        known = settings.fields if settings is not None else FIELDS
        if value not in known:
            self.fail(f"{value!r} is not one of {', '.join(known)}", param, ctx)
        return str(value)


FIELD = FieldName()


def _preset_or_file(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Accept a built-in preset or an existing TOML file."""
    if value in (None, "default", "paper") or (value.endswith(".toml") and Path(value).is_file()):
        return value
    raise click.BadParameter(f"{value!r} is neither default nor paper nor an existing TOML file")


preset_option = click.option(
    "--preset",
    metavar="default|paper|FILE.toml",
    callback=_preset_or_file,
    help="How models are trained.",
)


folds_option = click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Group whole datasets into this many folds, for a quick look.",
)


def _organism(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Return the one name of an organism."""
    if value is not None and not organism_named(value):
        raise click.BadParameter("give the name of an organism")
    return None if value is None else organism_named(value)


def _set_default_organism(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> None:
    """Put the organism into the settings of the command."""
    if isinstance(context.obj, Settings):
        organism = _organism(context, parameter, value)
        context.obj = changed(context.obj, default_organism=organism)


organism_option = click.option(
    "--organism",
    metavar="NAME",
    callback=_organism,
    help="Only this organism, by any of its names; by default every one with labels.",
)


default_organism_option = click.option(
    "--organism",
    metavar="NAME",
    callback=_set_default_organism,
    expose_value=False,
    help="The organism of the samples; that of the settings by default.",
)


def utf8(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse an argument that cannot be sent to the database; terminals cannot show it either."""
    return utf8_text(parameter.human_readable_name, value)


def utf8_text(name: str, value: str) -> str:
    """Return the value of an argument; raises InputError if it is not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name}: not UTF-8 at character {error.start + 1}") from error
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="annotator")
@click.option("--config", type=FILE, help="Settings file; ./annotator.toml by default.")
@click.pass_context
def command_line(context: click.Context, config: Path | None) -> None:
    """Fill in missing tissue, sex and age annotations of a small-RNA expression atlas."""
    if context.resilient_parsing:
        return
    if config is not None and not config.is_file():
        raise InputError("there is no such settings file", source=str(config))
    if config is not None:
        os.environ["ANNOTATOR_CONFIG"] = str(config.absolute())  # child processes read it too
    settings = load_settings()
    configure_logging(settings.log_format)
    context.obj = settings


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Write text for people, whose line breaks are ours and who see all other characters."""
    click.echo("\n".join(map(visible, text.split("\n"))), err=err, nl=nl)  # noqa: TID251


def emit(text: str) -> None:
    """Write CSV or JSON, byte for byte unless a terminal would obey what is in it."""
    if sys.stdout.isatty():
        say(text, nl=False)
    else:
        click.echo(text.encode(), nl=False)  # noqa: TID251


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """Open the database; turn psycopg's exceptions into the program's own."""
    import psycopg

    from annotator.store.server.connection import open_database, translating

    with open_database(settings) as database:
        try:
            with translating():
                yield database
        except psycopg.Error as error:
            message = " ".join(str(error).split())
            raise NeedsPersonError(f"the database refused: {message}") from error


def changed(settings: Settings, **options: Any) -> Settings:
    """Return the settings with the options that were given on the command line."""
    return replace(
        settings, **{name: value for name, value in options.items() if value is not None}
    )


def check_output_file(path: Path | None) -> None:
    """Refuse an output file that cannot be written before hours of work are spent on it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError("its folder does not exist", source=str(path))


def write_json_file(path: Path | None, content: dict[str, Any]) -> None:
    """Write an output file as JSON, if one was requested."""
    if path is not None:
        write_file(path, json.dumps(content, indent=2) + "\n")


def write_file(path: Path, content: str) -> None:
    """Write an output file; raises InputError if that is not possible."""
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", source=str(path)) from error
