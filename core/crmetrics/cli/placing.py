"""Where exported jobs will run, and what has to be there: paths, packages, variables."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crmetrics.cli.session import Session

if TYPE_CHECKING:
    from crmetrics.engine import Project
    from crmetrics.plugin import Options
    from crmetrics.schedule.export import Place

_STATE = ".crmetrics"


def place(session: Session, jobs: Collection[str], image: str = "") -> Place:
    """The place of these jobs: this very installation, and the project's folder and repository."""
    from crmetrics._version import __version__
    from crmetrics.config.variables import needed_names
    from crmetrics.schedule.export import Place

    project = session.project
    config = project.config
    root = _root(config.directory)
    requirements = config.directory / "requirements.txt"
    written = [
        config.directory / path for _, options in _sinks(project, jobs)
        for path in options.local_paths()
    ]  # fmt: skip
    return Place(
        project=config.project,
        directory=str(config.directory),
        program=_program(),
        zone=config.reporting.timezone,
        variables=needed_names(config.file.read_text(encoding="utf-8-sig")),
        version=__version__,
        image=image,
        jobs=tuple(config.jobs),
        folder=_below(root, config.directory).removeprefix("."),
        packages=_packages(project, jobs, __version__),
        requirements=_below(root, requirements) if requirements.is_file() else "",
        state=_paths(root, [*_state(project), *written]),
        written=_paths(root, written),
    )


def _program() -> tuple[str, ...]:
    """The words that start this very installation, whatever the PATH of another scheduler is."""
    script = Path(sys.executable).with_name("crmetrics")
    return (str(script),) if script.exists() else (sys.executable, "-m", "crmetrics")


# --- paths -----------------------------------------------------------------------------------


def _root(directory: Path) -> Path:
    """The root of the repository that a folder belongs to; the folder itself when it is in none."""
    return next(
        (one for one in (directory, *directory.parents) if (one / ".git").exists()), directory
    )


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _paths(root: Path, paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_below(root, path) for path in paths))


def _state(project: Project) -> Iterator[Path]:
    """The warehouse, and what connectors keep beside it."""
    folder = project.config.directory / _STATE
    yield folder
    warehouse = project.engine_settings.path
    if not warehouse.is_relative_to(folder):
        yield warehouse
        yield warehouse.with_name(f"{warehouse.name}.wal")


# --- packages --------------------------------------------------------------------------------


def _packages(project: Project, jobs: Collection[str], version: str) -> list[str]:
    """What pip installs: each distribution that brings plugins, with the extras that are needed."""
    extras: dict[str, set[str]] = {}
    for source in project.config.sources.values():
        wanted = source.options.required_extras()
        extras.setdefault(f"connector {source.connector}", set()).update(wanted)
    for kind, options in _sinks(project, jobs):
        extras.setdefault(f"sink {kind}", set()).update(options.required_extras())
    found: dict[tuple[str, str], set[str]] = {("crmetrics", version): set()}
    for plugin in project.registry.plugins:
        origin = plugin.origin.split()
        if plugin.is_builtin:
            key = ("crmetrics", version)
        elif origin[0] == "distribution" and plugin.state == "loaded":
            key = (origin[1], plugin.version)
        else:
            continue
        needed = (extra for offer in plugin.offers for extra in extras.get(offer, ()))
        found.setdefault(key, set()).update(needed)
    return [
        f"{name}[{','.join(sorted(more))}]=={at}" if more else f"{name}=={at}"
        for (name, at), more in found.items()
    ]


def _sinks(project: Project, jobs: Collection[str]) -> Iterator[tuple[str, Options]]:
    config = project.config
    names = {name for job in jobs for name in config.jobs[job].sinks}
    for name in sorted(names):
        yield config.sinks[name].sink, config.sinks[name].options
