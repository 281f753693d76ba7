"""A real MariaDB for tests: a server of this machine, on loopback, in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

VARIABLE = "CRMETRICS_TEST_MARIADBD"
_UNPACKED = Path(__file__).parents[2] / ".venv/mariadb/usr/sbin/mariadbd"  # by .ci/mariadb
_START_S = 180.0


def find_mariadbd() -> Path | None:
    """The server program: of the variable, of `.ci/mariadb`, or one that is installed."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    if _UNPACKED.is_file():
        return _UNPACKED
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/usr/libexec"
    found = shutil.which("mariadbd", path=path)
    return Path(found).resolve() if found else None


def _user() -> str:
    """Who runs the tests: what USER says is often somebody else where root is in a container."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class MariaDbServer:
    """A server that is started, restarted and killed at will.

    with MariaDbServer(program, folder) as server: ...server.url("database")...
    """

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.base = program.parent.parent
        self.data = folder / "data"
        self.data.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        share = self.base / "share/mysql"
        if not share.is_dir():
            share = self.base / "share/mariadb"
        texts = [
            (share / name).read_text(encoding="utf-8")
            for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
        ]
        script = "\n".join(("create database mysql;", "use mysql;", *texts))
        self._run("--bootstrap", script=script)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def url(self, database: str) -> str:
        return f"mariadb://root@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "mysql") -> Any:
        """A connection past the sink, which commits each statement."""
        import pymysql

        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(
            [*self._command(), f"--port={self.port}"],
            env=self._environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        give_up = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                raise RuntimeError((self.folder / "log").read_text(encoding="utf-8")[-2_000:])

    def stop(self) -> None:
        """Kill it, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        import pymysql

        try:
            self.connect().close()
        except pymysql.Error:
            assert self._process is not None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.05)
            return False
        return True

    def _run(self, *words: str, script: str) -> None:
        done = subprocess.run(
            [*self._command(), *words], env=self._environment(), input=script.encode(),
            capture_output=True, check=False, timeout=_START_S,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace")[-2_000:])

    def _command(self) -> list[str]:
        return [
            str(self.program), "--no-defaults", f"--datadir={self.data}", f"--basedir={self.base}",
            f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}",
            f"--log-error={self.folder / 'log'}", f"--user={_user()}",
            "--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=1",
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        """With the libraries beside a server that was unpacked rather than installed."""
        beside = [str(path) for path in (self.base / "lib").glob("*-linux-gnu")]
        known = os.environ.get("LD_LIBRARY_PATH", "")
        return {**os.environ, "LD_LIBRARY_PATH": ":".join([*beside, *filter(None, [known])])}
