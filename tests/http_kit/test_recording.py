"""A recording holds what was exchanged but no secret, and answers without a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from crmetrics import http
from crmetrics.errors import UsageError
from crmetrics.http import recording
from crmetrics.http.masking import masked
from crmetrics.secrets import Secret
from simulators.scripted import Server

TOKEN = Secret("tok-of-the-recording")


def exchange(url: str) -> list[tuple[int, str]]:
    with http.Session(url, tokens=http.fixed(TOKEN)) as session:
        form = {"grant_type": "client_credentials", "client_secret": "not-known-as-a-secret"}
        form["client_id"] = "key-with-signs=="
        answers = [
            session.request("POST", "/token", form=form, is_idempotent=True),
            session.request("GET", "/q?since=2026-01-05T09:00:00Z", params={"limit": "5"}),
            session.request("GET", "/q?since=2026-01-05T09:00:00Z", params={"limit": "5"}),
        ]
        found = [(answer.status, answer.text) for answer in answers]
        stream = session.request("GET", "/csv")
        return [*found, (stream.status, b"".join(stream.stream(3)).decode())]


@pytest.fixture
def recorded(server: Server, tmp_path: Path) -> Path:
    server.script = [
        (200, {}, b'{"access_token": "fresh-credential", "id": "x"}'),
        (200, {"Set-Cookie": "session=cookie-credential"}, b'{"records": [1]}'),
        (404, {}, b"second answer"),
        (200, {"Sforce-Locator": "MTAw"}, "Id,Né\n1,2\n".encode()),
    ]
    with recording.to(tmp_path / "tape"):
        exchange(server.url)
    return tmp_path / "tape"


def test_a_replay_gives_the_same_answers_without_a_network(server: Server, recorded: Path) -> None:
    asked = len(server.seen)
    with recording.replay(recorded):
        found = exchange("https://crm.example")
    assert found[1:] == [(200, '{"records": [1]}'), (404, "second answer"), (200, "Id,Né\n1,2\n")]
    assert len(server.seen) == asked


def test_no_secret_is_in_a_recording(recorded: Path) -> None:
    written = b"".join(file.read_bytes() for file in recorded.iterdir())
    for secret in (
        TOKEN.reveal(),
        "not-known-as-a-secret",
        "key-with-signs",
        "fresh-credential",
        "cookie-credential",
    ):
        assert secret.encode() not in written
    assert b"client_credentials" in written


def test_a_later_run_is_answered_though_its_instants_differ(recorded: Path) -> None:
    with recording.replay(recorded), http.Session("https://crm.example") as session:
        asked = session.request("GET", "/q?limit=5&since=2027-12-31T23:59:59.123%2B02:00")
        assert asked.text == '{"records": [1]}'


def test_what_was_not_recorded_is_an_error(recorded: Path) -> None:
    with recording.replay(recorded), http.Session("https://crm.example") as session:
        with pytest.raises(http.HttpError, match=r"no .further. answer to GET /other"):
            session.request("GET", "/other")
        session.request("GET", "/csv").close()
        with pytest.raises(http.HttpError, match=r"no .further. answer to GET /csv"):
            session.request("GET", "/csv")


def test_a_lost_connection_is_recorded_too(server: Server, tmp_path: Path) -> None:
    def hang_up(handler: object) -> None:
        handler.connection.close()  # type: ignore[attr-defined]

    server.script = [hang_up, (200, {}, b"again")]
    with recording.to(tmp_path / "tape"), http.Session(server.url, sleep=bool) as session:
        assert session.request("GET", "/x").text == "again"
    with recording.replay(tmp_path / "tape"), http.Session(server.url, sleep=bool) as session:
        assert session.request("GET", "/x").text == "again"
        assert session.requests_sent == 2


def test_a_folder_in_use_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="not empty"), recording.to(tmp_path):
        pass
    with pytest.raises(UsageError, match="holds no recording"), recording.replay(tmp_path):
        pass


def test_after_the_block_nothing_is_recorded(server: Server, recorded: Path) -> None:
    before = len(list(recorded.iterdir()))
    with http.Session(server.url) as session:
        session.request("GET", "/").close()
    assert len(list(recorded.iterdir())) == before


@pytest.mark.parametrize(
    "text",
    [
        '{"recipient": "Jo.Smith+x@example.com"}',
        r'{"body": "first line\nJo.Smith+x@example.com"}',
        r'{"body": "a path \\Jo.Smith+x@example.com"}',
        r'{"body": "one \\\nJo.Smith+x@example.com, \"Jo.Smith+x@example.com\""}',
    ],
)
def test_whose_an_address_is_is_masked_alike_everywhere(text: str) -> None:
    (name,) = set(re.findall(r"(masked-[0-9a-f]{16})@", masked(text)))
    once = masked(text)
    assert json.loads(once) == json.loads(text.replace("Jo.Smith+x", name))
    assert masked(once) == once
    assert masked("jo.smith+x@example.com") == f"{name}@example.com"


@pytest.mark.parametrize("text", ["at @ 5 pm", "@example.com", "a@b", "user@[127.0.0.1]"])
def test_what_is_no_address_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"url": "https://acme.example/p?email=Jo.Smith%2Bx%40example.com&x=1"}',
        '{"email": "Jo.Smith+x\\u0040example.com"}',
        "limit=1&email=jo.smith%2Bx%40example.com",
    ],
)
def test_an_address_is_masked_alike_where_its_sign_is_written_otherwise(text: str) -> None:
    (name,) = set(re.findall(r"(masked-[0-9a-f]{16})", masked(text)))
    assert masked("jo.smith+x@example.com") == f"{name}@example.com"
    assert masked(text) == re.sub(r"(?i)jo\.smith(\+|%2B)x", name, text)
    assert masked(masked(text)) == masked(text)


def test_a_name_of_odd_signs_is_masked_whole() -> None:
    found = masked('"o#b\'rien!$*^|~`@example.com"')
    assert re.fullmatch('"masked-[0-9a-f]{16}@example.com"', found)


def test_names_in_other_letters_are_masked() -> None:
    for name in ("иван", r"\u0438\u0432\u0430\u043d", "jürgen"):
        found = masked(f'"{name}@example.com"')
        assert re.fullmatch('"masked-[0-9a-f]{16}@example.com"', found)


# --- replayed by another process, which masks names otherwise ----------------------------------

_REPLAY = """
import json, sys
from pathlib import Path
from crmetrics import http
from crmetrics.http import recording
folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
with recording.replay(folder), http.Session("https://crm.example") as session:
    for method, params, body in asked:
        try:
            print(session.request(method, "/q", params=params, json=body).text)
        except http.HttpError as exc:
            print("error:", exc)
"""
Asked = tuple[str, dict[str, str] | None, dict[str, str] | None]


def by_query(name: str, columns: str = "Id") -> Asked:
    return ("GET", {"q": f"SELECT {columns} FROM Contact WHERE Email = '{name}@acme.com'"}, None)


def by_job(name: str) -> Asked:
    return ("POST", None, {"query": f"SELECT Id FROM Contact WHERE Email LIKE '{name}@acme.com'"})


def record(server: Server, folder: Path, asked: Sequence[Asked]) -> None:
    server.script = [(200, {}, f"answer {n}".encode()) for n in range(len(asked))]
    with recording.to(folder), http.Session(server.url) as session:
        for method, params, body in asked:
            assert session.request(method, "/q", params=params, json=body).text


def replayed_elsewhere(folder: Path, asked: Sequence[Asked]) -> list[str]:
    told = json.dumps(asked)
    done = subprocess.run(
        [sys.executable, "-c", _REPLAY, str(folder), told],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_who_asks_by_an_address_is_answered_in_another_process(
    server: Server, tmp_path: Path
) -> None:
    asked = [
        by_query("jo"),
        by_query("%"),
        by_job("%"),
        by_query("jo", "Id, Name"),
        by_query("kim"),
        by_query("jo"),
        by_job("kim"),
    ]
    record(server, tmp_path / "tape", asked)
    written = b"".join(file.read_bytes() for file in (tmp_path / "tape").iterdir())
    assert b"jo" not in written.replace(b"json", b"")
    assert b"kim" not in written
    again = [asked[n] for n in (0, 3, 1, 2, 5, 4, 6)]
    answers = [f"answer {n}" for n in (0, 3, 1, 2, 5, 4, 6)]
    assert replayed_elsewhere(tmp_path / "tape", again) == answers


def test_nobody_gets_the_answer_of_another(server: Server, tmp_path: Path) -> None:
    record(server, tmp_path / "tape", [by_query("jo"), by_query("jo", "Id, Name")])
    masked_jo = re.findall("masked-[0-9a-f]{16}", (tmp_path / "tape/00001.json").read_text())[0]
    other = "masked-0123456789abcdef"
    found = replayed_elsewhere(
        tmp_path / "tape",
        [by_query("jo"), by_query("kim", "Id, Name"), by_query("jo"), by_query("jo", "Id, Name")],
    )
    assert found[0] == "answer 0"
    assert found[1].startswith("error:")
    assert found[2].startswith("error:")
    assert found[3] == "answer 1"
    asked = [("GET", {"email": f"{name}@acme.com"}, None) for name in ("jo", "kim")]
    record(server, tmp_path / "second", asked)
    mask = json.loads((tmp_path / "second/00001.json").read_text())["request"]["query"]
    known = re.findall("masked-[0-9a-f]{16}", mask)[0]
    assert known != masked_jo
    asked = [("GET", {"email": f"{name}@acme.com"}, None) for name in (other, known)]
    found = replayed_elsewhere(tmp_path / "second", asked)
    assert found[0].startswith("error:")
    assert found[1] == "answer 0"
