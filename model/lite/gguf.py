"""Chat models as GGUF files: check, try and load one.

llama.cpp ends its process over some files, so an unknown one is loaded in a process of its own
first; run as a program, this module is that process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from model.errors import ChatError

_LOOK_S = 0.1
"""How often a trial looks whether it was cancelled."""

_TRIAL_S = 60.0
_TRIAL_BYTES_PER_S = 10e6
"""A trial may take this long, and as long as a slow disk takes to read the file."""

_MOST_CORES = 8
"""More hardly write faster, because they wait for the same memory."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""How much of the processors a container may use: microseconds of work in how many, or max."""

_PART = 64
"""Tokens of a prompt that are read at once where others may wait: smaller parts cost more."""

_MEASURED_S = 1.5
_TOKENS = 400

_HELLO = {"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 1, "stream": True}

_survived: set[tuple[Path, int, int]] = set()
"""Files that passed their trial in the life of this process: path, size and time of change."""

log = logging.getLogger(__name__)


def check_gguf(path: Path) -> None:
    """Check that ``path`` is a GGUF file. Raises: ChatError."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ChatError(f"cannot read the chat model {path}: {error.strerror}") from error
    if magic != b"GGUF":
        raise ChatError(f"{path} is not a GGUF file: use a chat model in GGUF format")


def try_gguf(path: Path, *, context: int, cancelled: Callable[[], bool]) -> None:
    """Load ``path`` and write a token in another process, unless that was survived before.

    What Python can catch there passes, since :func:`start_server` raises it again.

    Raises: ChatError, if the process crashes, takes too long or was cancelled.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise ChatError(f"cannot read the chat model {path}: {error.strerror}") from error
    version = (path.absolute(), stat.st_size, stat.st_mtime_ns)
    if version in _survived:
        return
    limit = _TRIAL_S + stat.st_size / _TRIAL_BYTES_PER_S
    code, said = _run_trial(path, context, limit, cancelled)
    if code:
        log.warning("llama.cpp ended over %s, saying: %s", path, said.strip())
        raise unusable(path, f"llama.cpp ended with {_name_of(code)}")
    _survived.add(version)


def start_server(
    path: Path,
    *,
    context: int,
    threads: int,
    slots: int = 1,
    key: str = "",
    warm_up: bool = True,
) -> Any:
    """Return xllamacpp's in-process server of ``path``.

    ``slots``: prompts of up to ``context`` tokens that it keeps, and answers at once. ``key``:
    opens its local port, which nobody else needs to know. Raises: ChatError.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context * slots
    params.n_parallel = slots
    if slots > 1:
        # A long prompt in one slot is read in parts, between which others are answered.
        params.n_batch = params.n_ubatch = _PART
    params.n_gpu_layers = 0
    params.warmup = warm_up
    # The threads wait for each other at every layer, so other work on one core slows down all:
    # on two cores with one busy, two threads make 31 tokens/s and one makes 66. Reading a
    # prompt has fewer such points and gains from more threads.
    params.cpuparams.n_threads = max(1, threads - 1)
    params.cpuparams_batch.n_threads = threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    params.cache_ram_mib = 0  # the default keeps 8 GB of old prompts
    params.verbosity = -1
    # The server also listens on a local port; a random key keeps others out.
    params.api_keys = [key or secrets.token_urlsafe(32)]
    params.ui = False
    params.endpoint_slots = False
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise unusable(path, str(error)) from error


def own_cores() -> int:
    """Return how many physical cores a chat model may use, at most 8."""
    import psutil

    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    with contextlib.suppress(OSError, ValueError):
        worked, period = _QUOTA.read_text().split()
        cores = min(cores, int(worked) // int(period))
    return max(1, min(cores, _MOST_CORES))


def writing_speed(path: Path, *, threads: int) -> float:
    """Return the tokens per second that the model at ``path`` writes, measured for 1.5 s.

    Raises: ChatError.
    """
    server = start_server(path, context=_TOKENS + 100, threads=threads)
    times: list[float] = []
    counts: list[int] = []
    request = {
        "prompt": "The history of the sea is",
        "n_predict": _TOKENS,
        "ignore_eos": True,
        "temperature": 0.0,
        "stream": True,
        "timings_per_token": True,
    }

    def receive(chunk: dict[str, Any]) -> bool:
        times.append(time.monotonic())
        counts.append(chunk.get("timings", {}).get("predicted_n", 0))
        return counts[-1] > counts[0] and times[-1] - times[0] > _MEASURED_S

    try:
        server.handle_completions(request, receive)
    except RuntimeError as error:
        raise ChatError(f"cannot measure how fast {path.stem} writes: {error}") from error
    if not counts or counts[-1] == counts[0]:
        raise ChatError(f"cannot measure how fast {path.stem} writes: it wrote nothing")
    return (counts[-1] - counts[0]) / (times[-1] - times[0])


def unusable(path: Path, why: str) -> ChatError:
    """Return the error about a file that llama.cpp cannot load."""
    return ChatError(
        f"cannot load {path} as a chat model ({why}): use a complete GGUF file of a chat model "
        "that llama.cpp supports and that fits the memory"
    )


def _run_trial(
    path: Path, context: int, limit: float, cancelled: Callable[[], bool]
) -> tuple[int, str]:
    """Return the exit status of a trial and what it said. ``limit`` is in seconds."""
    ours = str(Path(__file__).parents[2])
    others = os.environ.get("PYTHONPATH")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([ours, others] if others else [ours]),
        "GGML_NO_BACKTRACE": "1",  # takes a debugger, and seconds
    }
    # -P: a folder called "model" in the working directory is not ours.
    command = [sys.executable, "-P", "-m", __name__, str(path.absolute())]
    ends = time.monotonic() + limit
    try:
        process = subprocess.Popen(
            [*command, str(context)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            # Ctrl-C is for this process, which then ends the trial.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    except OSError as error:
        raise ChatError(
            f"cannot start a process to try {path} ({error.strerror}): close other programs"
        ) from error
    with process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    _, said = process.communicate(timeout=_LOOK_S)
                    return process.returncode, said
                if cancelled():
                    raise ChatError(f"loading {path} was cancelled")
                if time.monotonic() > ends:
                    raise unusable(path, f"llama.cpp was not done after {limit:.0f} s")
        except BaseException:
            process.kill()
            raise


def _name_of(code: int) -> str:
    """Return a process's exit status in words; Windows' are large numbers, written in hex."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit status {code if abs(code) < 256 else hex(code & 0xFFFFFFFF)}"


def _be_trial(path: str, context: str) -> NoReturn:
    """Load and write a token: native code may end this process anywhere."""
    with contextlib.suppress(Exception):
        # One thread: for so few tokens, two on busy cores take five times as long.
        server = start_server(Path(path), context=int(context), threads=1, warm_up=False)
        server.handle_chat_completions(_HELLO, lambda chunk: False)
    os._exit(0)  # while the server lives: freeing one that had no request can hang


if __name__ == "__main__":
    _be_trial(*sys.argv[1:])
