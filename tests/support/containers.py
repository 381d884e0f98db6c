"""The services of docker-compose.yml, run by Debian's tools instead of a container engine."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import yaml
from psycopg.conninfo import make_conninfo

from annotator.store.server import binaries
from tests.support import ROOT
from tests.support.servers import server_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOOLS = ("buildah", "debootstrap", "setpriv", "unshare")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SECRETS = Path("/run/secrets")
_DEFAULT = re.compile(r"\$\{\w+:-(.*?)\}")
_SUITE = "trixie"  # of the Dockerfile's own base, too
_BASE = "localhost/annotator-base"
_TAG = "localhost/annotator"


@contextmanager
def made_database(folder: Path) -> Iterator[str]:
    """Run a server with secrets and roles as the service ``database`` makes them.

    Parameters
    ----------
    folder
        An empty folder, in which ``secrets`` is made.

    Yields
    ------
    str
        Connection string of the superuser; ``port`` also is where it listens on 127.0.0.1.
    """
    subprocess.run([ROOT / "containers/secrets.sh"], cwd=folder, check=True)
    roles = (ROOT / "containers/roles.sql").read_text()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = binaries.folder()
    with server_of(programs, addresses="127.0.0.1", port=port) as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as superuser:
            superuser.execute("create database atlas")
        atlas = make_conninfo(conninfo, dbname="atlas")
        subprocess.run(
            [programs / "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", atlas],
            input=roles.replace(str(SECRETS), str(folder / "secrets")),
            text=True,
            check=True,
        )
        yield atlas


@dataclass(frozen=True)
class Image:
    """The built image, as a working container."""

    root: Path
    configuration: Mapping[str, Any]

    def start(
        self, service: str, *command: str, folder: Path, **environment: str
    ) -> subprocess.Popen[str]:
        """Start a command in a container of a service; the process is that of the command.

        Parameters
        ----------
        service
            Name in ``docker-compose.yml``.
        command
            Instead of entrypoint and command of the service.
        folder
            The folder of the compose file: has ``secrets``, and here also the volumes.
        environment
            Further variables.
        """
        described = COMPOSE["services"][service]
        user = str(described["user"])
        variables = {
            "HOME": self.configuration["WorkingDir"],
            **dict(each.split("=", 1) for each in self.configuration["Env"]),
            **{
                name: given
                for name, given in described.get("environment", {}).items()
                if "$" not in given
            },
            **environment,
        }
        rights = ["--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs"]
        rights += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        enter = ["unshare", "--root", self.root, "--wd", self.configuration["WorkingDir"]]
        full = [*enter, "setpriv", *rights, "env", "--ignore-environment"]
        full += [f"{name}={given}" for name, given in variables.items()]
        full += command or [
            *described.get("entrypoint", self.configuration["Entrypoint"]),
            *(_DEFAULT.sub(r"\1", word) for word in described["command"]),
        ]
        script = [*self._mounts(described, folder), ["exec", *full]]
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", "\n".join(shlex.join(map(str, w)) for w in script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, service: str, *command: str, folder: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as ``start`` does, and wait for its end."""
        process = self.start(service, *command, folder=folder, **environment)
        try:
            out, err = process.communicate(timeout=1800)
        finally:
            process.kill()
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def _mounts(self, described: Mapping[str, Any], folder: Path) -> list[list[Any]]:
        """Return the commands that mount what an engine would, the root read-only."""
        hosts = folder / "hosts"
        hosts.write_text("127.0.0.1 localhost database scheduler\n")
        bound = {"/etc/hosts": hosts, "/dev": Path("/dev")}
        for name in described.get("secrets", ()):
            bound[str(SECRETS / name)] = folder / "secrets" / name
        for name, target in (volume.split(":") for volume in described["volumes"]):
            bound[target] = folder / name
            if not bound[target].exists():  # a new volume has owner and mode of the image's folder
                seen = self._inside(target).stat()
                bound[target].mkdir()
                bound[target].chmod(seen.st_mode)
                shutil.chown(bound[target], seen.st_uid, seen.st_gid)
        for target, source in bound.items():
            if source.is_file():
                self._inside(target).parent.mkdir(exist_ok=True)
                self._inside(target).touch()
        mode = "bind,ro" if described["read_only"] else "bind"
        return [
            ["mount", "--options", mode, self.root, self.root],
            ["mount", "--types", "proc", "proc", self._inside("/proc")],
            *(["mount", "--rbind", source, self._inside(t)] for t, source in bound.items()),
        ]

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")


@contextmanager
def built_image() -> Iterator[Image]:
    """Build the image on a new base of Debian's, without a registry of images."""
    with tempfile.TemporaryDirectory(prefix="annotator-image-") as name:
        folder = Path(name)
        storage = ["--root", folder / "storage", "--runroot", folder / "run"]
        storage += ["--storage-driver", "overlay", "--storage-opt", "overlay.skip_mount_home=true"]

        def buildah(*arguments: object) -> str:
            return _output("buildah", *storage, *arguments)

        include = "--include=python3,python3-venv"
        _output("debootstrap", "--variant=minbase", include, _SUITE, folder / "base")
        base = buildah("from", "scratch")
        buildah("add", "--quiet", base, folder / "base", "/")
        buildah("commit", "--quiet", "--rm", base, _BASE)
        shutil.rmtree(folder / "base")
        build = ("build", "--isolation", "chroot", "--build-arg", f"BASE={_BASE}", "--tag", _TAG)
        buildah(*build, *_package_index(folder / "pip.conf"), ROOT)
        described = json.loads(buildah("inspect", "--type", "image", _TAG))
        try:
            root = buildah("mount", buildah("from", "--pull-never", _TAG))
            yield Image(Path(root), described["OCIv1"]["config"])
        finally:
            buildah("rm", "--all")  # before its folders can be deleted


def _output(*command: object) -> str:
    ended = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, errors="replace", check=False
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout[-2000:]} {ended.stderr[-2000:]}"
    return ended.stdout.strip()


def _package_index(file: Path) -> list[str]:
    """Write a ``pip.conf`` with this machine's index; return the options that mount it."""
    settings, volumes = {}, [f"--volume={file}:/etc/pip.conf:ro"]
    for line in reversed(_output(sys.executable, "-m", "pip", "config", "list").splitlines()):
        name, _, value = line.partition("=")  # variables are listed first, and count most
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    kept = {name: settings[name] for name in ("index-url", "cert") if name in settings}
    if "cert" in kept:
        volumes.append(f"--volume={kept['cert']}:/etc/pip.pem:ro")
        kept["cert"] = "/etc/pip.pem"
    file.write_text("[global]\n" + "".join(f"{name} = {kept[name]}\n" for name in kept))
    return volumes
