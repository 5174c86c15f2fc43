"""Frame of every command: streams, Ctrl-C, errors as messages and statuses."""

import codecs
import os
import signal
import sys
import threading
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, TextIO, cast

from xbind.errors import XBindError, is_control, printable
from xbind.system.out_of_memory import is_memory_error, too_little_memory

WRONG_FLAGS = 2
"""Exit status for a command line that cannot be understood, as tyro has it."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as the shell has it: 128 + SIGINT."""
PIPE_CLOSED = 141
"""Exit status where nobody reads the output any more, as the shell has it: 128 + SIGPIPE."""
_SPELT = {
    "°": " deg", "·": "-", "…": "...", "−": "-", "–": "-", "×": "x", "±": "+-", "→": "->",
    "≥": ">=", "≤": "<=", "√": "sqrt", "•": "*", "│": "|", "─": "-", "╭": "+", "╮": "+", "╰": "+",
    "╯": "+", "━": "-", "╸": "-", "╺": "-", "“": '"', "”": '"', "’": "'", "‘": "'",
}  # fmt: skip
_HANDLER = "xbind.spelt"


def guard(
    name: str, words: Sequence[str], work: Callable[[], None], stopped: Callable[[], str]
) -> None:
    """Do a command's work; leave with a message and a status where it fails.

    Status 1: refused with a message, or the output cannot be written; 2: a word is no text; 130:
    Ctrl-C; 141: the output was closed.
    A second Ctrl-C ends the process at once, whatever it is busy with.

    Args:
        name: the command, for messages.
        words: what follows it, to be checked for bytes that are no text.
        work: does it; may call `sys.exit`.
        stopped: what to say after "interrupted" or "the output was closed".
    """
    _prepare_streams()
    with _output_errors(), _interruptible(name, stopped) as interruption:
        try:
            try:
                _check_words(name, words)
                work()
            finally:
                sys.stdout.flush()
        except XBindError as error:
            sys.exit(f"{name}: {printable(str(error))}")
        except BrokenPipeError:
            _leave_closed_pipe(name, stopped)
        except _OutputFailed as error:
            _leave_failed_output(name, error, stopped)
        except BaseException as error:
            # a library may turn the exception of Ctrl-C into another one
            if isinstance(error, KeyboardInterrupt) or (
                interruption.seen and isinstance(error, Exception)
            ):
                with suppress(OSError):
                    sys.stderr.write(f"\n{name}: interrupted{printable(stopped())}\n")
                sys.exit(INTERRUPTED)
            if is_memory_error(error):
                sys.exit(f"{name}: {too_little_memory(error)}")
            sys.excepthook = _show_bug
            raise


def _check_words(name: str, words: Sequence[str]) -> None:
    """Leave with status 2 where a word cannot be written into the files of a run, or to a terminal.

    The parser of the command line repeats words that it does not understand as they are.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            sys.stderr.write(
                f"{name}: {word!r} is not valid UTF-8. Rename the file or folder, and give its new "
                f"name.\n"
            )
            sys.exit(WRONG_FLAGS)
        if any(map(is_control, word)):
            sys.stderr.write(
                f"{name}: {printable(word)!r} holds control characters. Leave them out; a file or "
                f"folder with such a name has to be renamed.\n"
            )
            sys.exit(WRONG_FLAGS)


def _show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Shows a traceback as Python does; messages in it can hold text from files."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace))))


def say(line: str) -> None:
    """Writes a line to the standard output, at once; nothing in it can control the terminal."""
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def _prepare_streams() -> None:
    """Let every character be written to every stream, spelt in ASCII where it has to be."""
    codecs.register_error(_HANDLER, spell)
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def spell(error: UnicodeError) -> tuple[str, int]:
    """ASCII in place of what an encoding lacks: `15 deg`, an accent left out, or an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_spelt, text)), error.end


def _spelt(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    escaped = character.encode("ascii", "backslashreplace").decode()
    return _SPELT.get(character) or plain or escaped


class _Interruption:
    seen = False
    """Returns True if Ctrl-C was pressed."""


@contextmanager
def _interruptible(name: str, stopped: Callable[[], str]) -> Iterator[_Interruption]:
    """Raise `KeyboardInterrupt` on the first Ctrl-C; leave at once on the second."""
    interruption = _Interruption()

    def interrupt(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        if interruption.seen:
            told = f"\n{name}: interrupted twice{printable(stopped())}\n"
            with suppress(OSError):
                os.write(2, told.encode(errors="replace"))
            os._exit(INTERRUPTED)
        interruption.seen = True
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interruption  # Ctrl-C is ignored, or somebody else's
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interruption
    finally:
        if not interruption.seen:  # a second Ctrl-C may come while the interpreter shuts down
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave_closed_pipe(name: str, stopped: Callable[[], str]) -> None:
    """Leave with status 141; what is still buffered goes nowhere."""
    _drop_output()
    if advice := stopped().strip(" .;"):
        with suppress(OSError):
            sys.stderr.write(f"{name}: the output was closed; {printable(advice)}\n")
    sys.exit(PIPE_CLOSED)


class _OutputFailed(OSError):
    """Standard output cannot be written: its disk is full, or gone."""


class _Output:
    """Standard output whose errors can be told from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._told():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _OutputFailed(error.errno, error.strerror) from error


@contextmanager
def _output_errors() -> Iterator[None]:
    """Let writing to standard output raise `_OutputFailed` where it fails."""
    stream = sys.stdout
    sys.stdout = cast(TextIO, _Output(stream))
    try:
        yield
    finally:
        sys.stdout = stream


def _leave_failed_output(name: str, error: OSError, stopped: Callable[[], str]) -> None:
    """Leave with status 1 and the error of the work, or of the output if the work was done."""
    _drop_output()
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, XBindError):
        cause = cause.__context__
    told = cause or f"the output cannot be written: {error.strerror or error}{stopped()}"
    sys.exit(f"{name}: {printable(str(told))}")


def _drop_output() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
