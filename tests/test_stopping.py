"""SIGTERM and Ctrl-C: at once, but never inside of what must be whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from textwrap import dedent

import pytest

PROGRAM = """
import signal, sys
from crmetrics import stopping
stopping.install()
try:
    {body}
except stopping.Terminated:
    print("terminated")
except KeyboardInterrupt:
    print("interrupted")
"""
HELD = """
    with stopping.held():
        print("ready", flush=True)
        sys.stdin.readline()
        print("whole", flush=True)
"""
OPEN = """
    print("ready", flush=True)
    signal.pause()
"""


def told(body: str, *signals: signal.Signals, line: str = "") -> list[str]:
    """What a program prints that gets these signals once it is ready, then a line of input."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=dedent(body).strip().replace("\n", "\n    "))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    for number in signals:
        program.send_signal(number)
    out, _ = program.communicate(line, timeout=300)
    return out.splitlines()


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")]
)
def test_a_signal_ends_the_program_at_once(number: signal.Signals, word: str) -> None:
    assert told(OPEN, number) == [word]


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")]
)
def test_inside_a_held_block_it_waits_for_the_end(number: signal.Signals, word: str) -> None:
    assert told(HELD, number, line="go\n") == ["whole", word]


def test_a_block_inside_a_block_waits_for_the_outer_end() -> None:
    body = """
    with stopping.held():
        with stopping.held():
            print("ready", flush=True)
            sys.stdin.readline()
        print("whole", flush=True)
    """
    assert told(body, signal.SIGTERM, line="go\n") == ["whole", "terminated"]


def test_an_attempt_that_waits_for_an_answer_is_cut_short_soon_after() -> None:
    body = """
    import socket
    from crmetrics.deadline import Deadline
    one, other = socket.socketpair()
    with stopping.held(), Deadline(600, grace_s=0.2) as deadline:
        deadline.watch(one)
        print("ready", flush=True)
        one.recv(1)
        print(deadline.why, flush=True)
    """
    why = "no whole answer when the program was asked to end"
    assert told(body, signal.SIGTERM) == [why, "terminated"]


IGNORED = {
    "the callback of a weak reference": """
        import weakref

        class Thing: ...

        thing = Thing()
        watched = weakref.ref(thing, lambda _: wait())
        del thing
    """,
    "a finalizer": """
        class Thing:
            def __del__(self):
                wait()

        thing = Thing()
        del thing
    """,
}


@pytest.mark.parametrize("place", IGNORED)
@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")]
)
def test_a_signal_that_comes_where_exceptions_are_ignored_still_ends_it(
    place: str, number: signal.Signals, word: str
) -> None:
    body = """
    def wait():
        print("ready", flush=True)
        signal.pause()
    """
    after = """
    print("going on", flush=True)
    signal.pause()
    """
    parts = (dedent(part).strip() for part in (body, IGNORED[place], after))
    assert told("\n".join(parts), number) == ["going on", word]


def test_what_else_is_ignored_is_told_as_before() -> None:
    program = """
    import sys
    from crmetrics import stopping

    class Thing:
        def __del__(self):
            raise ValueError("a bug")

    sys.unraisablehook = lambda ignored: print("told", ignored.exc_value)
    stopping.install()
    Thing()
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("told a bug\n", "")
