"""Tests of interruptions, by real signals."""

import ctypes
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from planet.tools import interruption

_IGNORE = ctypes.c_void_p(1)  # SIG_IGN of signal.h.
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_a_signal_is_noticed_at_the_next_check(number, capsys):
    before = signal.getsignal(number)
    with interruption.handled():
        interruption.check()
        os.kill(os.getpid(), number)
        with pytest.raises(interruption.Interrupted) as interrupted:
            interruption.check()
    assert interrupted.value.code == CODES[number]
    assert "the same again ends at once" in capsys.readouterr().out
    assert signal.getsignal(number) is before
    interruption.check()


def test_handlers_of_libraries_are_replaced():
    with interruption.handled():
        ctypes.CDLL(None).signal(signal.SIGTERM, _IGNORE)  # Python is not told.
        os.kill(os.getpid(), signal.SIGTERM)
        interruption.check()
        interruption.reclaim()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(interruption.Interrupted):
            interruption.check()


def test_requirements_are_confirmed_and_checked():
    def refuse():
        raise LookupError

    with interruption.required(refuse):
        for ask in (interruption.check, interruption.confirm):
            with pytest.raises(LookupError):
                ask()
    interruption.check()


def run(program):
    """Runs a program; returns its exit code and what it prints."""
    start = "import os, signal, time\nfrom planet.tools import interruption\n"
    result = subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stderr == ""
    return result.returncode, result.stdout.splitlines()


def test_where_nothing_is_lost_a_signal_ends_the_process_at_once():
    code, lines = run("""
        def say(text):
            return lambda: print(text, flush=True)

        with interruption.handled(), interruption.ending(say("outer")):
            with interruption.ending(say("inner")), interruption.at_once():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
    """)
    assert (code, lines) == (143, ["inner", "outer"])


def test_a_signal_that_came_before_interrupts_what_may_end_at_once():
    code, lines = run("""
        with interruption.handled():
            os.kill(os.getpid(), signal.SIGINT)
            try:
                with interruption.at_once():
                    print("not reached")
            except KeyboardInterrupt as interrupt:
                raise SystemExit(interrupt.code)
    """)
    assert (code, lines[2:]) == (130, [])


def test_a_second_signal_ends_the_process_at_once():
    code, lines = run("""
        with interruption.handled():
            os.kill(os.getpid(), signal.SIGINT)
            print("goes on", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
    """)
    assert code == 130
    assert lines[-1] == "goes on"


def test_signals_end_a_program_that_still_imports():
    code, lines = run("""
        interruption.end_on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    """)
    assert (code, lines) == (143, [])


def test_other_threads_leave_signals_alone():
    code, lines = run("""
        import threading

        def work():
            with interruption.handled():
                interruption.check()
            print("done")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    """)
    assert (code, lines) == (0, ["done"])
