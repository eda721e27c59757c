"""Download files over HTTP with resumption and checks, by huggingface_hub's transfer.

huggingface_hub resumes only within a process: a killed ``snapshot_download`` loses up to several
shards of 5 GB. So the library's ``http_get`` fetches each file into a part file named by its
digest, which gets its final name once the digest is right. Only the hub and the code host are
contacted: no telemetry, no xet.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from model.errors import WeightsError
from model.weights.files import StoredFile, digest_of
from model.weights.hub.source import CodeFile, CodeSource, HubSource
from voices.installation import install_again

PUBLIC_HUB = "https://huggingface.co"
PUBLIC_CODE_HOST = "https://raw.githubusercontent.com"
_TIMEOUT_S = 30.0
_RESTARTS = 3
"""How often a file may start over because its server cannot resume."""
_AGAIN = "run the same pull again to continue: what was downloaded is kept"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Remote:
    """The model hub at ``hub``, and the raw files of code repositories at ``code_host``.

    An empty ``hub`` means HF_ENDPOINT or else the public one. Only the hub gets the hub's token.
    Raises: WeightsError when huggingface_hub is missing or an address is invalid.
    """

    def __init__(self, hub: str = "", code_host: str = "") -> None:
        self.hub = _address(hub or os.environ.get("HF_ENDPOINT") or PUBLIC_HUB)
        self.code_host = _address(code_host or PUBLIC_CODE_HOST)
        self._library = _library()

    def listing(self, source: HubSource, revision: str) -> tuple[str, list[StoredFile]]:
        """Return the commit of ``revision`` and the wanted files of ``source``.

        Raises: WeightsError, also when a required file is missing.
        """
        api = self._library.HfApi(endpoint=self.hub, library_name="covo")
        what = f"{source.repo} at {revision}"
        with _explained(what, self.hub):
            try:
                info = api.model_info(
                    source.repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_S
                )
                commit = str(info.sha)
                files = [_listed(entry) for entry in info.siblings if source.wants(entry.rfilename)]
                licences = [tag[8:] for tag in info.tags or () if tag.startswith("license:")]
            except (ValueError, KeyError, TypeError) as error:
                raise WeightsError(
                    f"{self.hub} does not answer like a model hub ({error}); check the setting "
                    f"models.hub and the variable HF_ENDPOINT"
                ) from error
        if source.licence and licences != [source.licence]:
            raise WeightsError(
                f"{what} is licensed under {' and '.join(licences) or 'nothing that is told'}, and "
                f"not under {source.licence} as covo expects, so it is not pulled"
            )
        lacking = source.lacking([file.name for file in files])
        if lacking:
            raise WeightsError(
                f"{what} has no {', no '.join(lacking)}, so it is not the model that covo knows; "
                f"choose another commit with --revision"
            )
        return commit, files

    def fetch_weights(
        self,
        source: HubSource,
        commit: str,
        file: StoredFile,
        part: Path,
        progress: Callable[[int], None],
    ) -> None:
        """Download ``file`` of ``source`` to ``part`` and check it.

        ``progress`` is called with the bytes so far. Raises: WeightsError.
        """
        url = self._library.hf_hub_url(source.repo, file.name, revision=commit, endpoint=self.hub)
        token = self._library.get_token()
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with _explained(file.name, self.hub):
            # A part that was kept may be damaged; then try once without it.
            for _ in range(2 if _size(part) > 0 else 1):
                self._get(url, part, headers, file.size, progress)
                if _matches(part, file):
                    return
            raise _other_bytes(file.name, url)

    def fetch_code(self, source: CodeSource, file: CodeFile, part: Path) -> StoredFile:
        """Download the small ``file`` of ``source`` to ``part``; return its digest.

        Raises: WeightsError.
        """
        url = code_url(self.code_host, source, file.path)
        with _explained(file.path, self.code_host):
            part.unlink(missing_ok=True)
            self._get(url, part, {}, None, lambda _: None)
            return StoredFile(file.name, _size(part), digest_of(part))

    def _get(
        self,
        url: str,
        part: Path,
        headers: Mapping[str, str],
        size: int | None,
        progress: Callable[[int], None],
    ) -> None:
        part.parent.mkdir(parents=True, exist_ok=True)
        if size is not None and _size(part) > size:
            part.unlink()
        # Compressed bytes could neither be counted nor resumed.
        headers = {**headers, "accept-encoding": "identity", "user-agent": "covo"}
        while True:
            before = _size(part)
            try:
                with part.open("ab") as file:
                    self._library.file_download.http_get(
                        url,
                        file,
                        resume_size=before,
                        headers=headers,
                        expected_size=size,
                        tqdm_class=_counter(url, progress),
                    )
                return
            except self._library.errors.HfHubHTTPError:
                raise
            except self._library.errors.HTTPError:
                # The library does not resume after this error; try again while bytes arrive.
                if _size(part) <= before:
                    raise


def code_url(code_host: str, source: CodeSource, path: str) -> str:
    """Return the address of the raw file ``path``; an empty ``code_host`` is the public one."""
    host = (code_host or PUBLIC_CODE_HOST).rstrip("/")
    return f"{host}/{source.repo}/{source.revision}/{quote(path)}"


def _library() -> Any:
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors, file_download
    except ImportError as error:
        raise WeightsError(
            f"pulling from a model hub needs huggingface_hub: {install_again('huggingface_hub')}"
        ) from error
    del errors, file_download  # imported to be attributes of the package
    # Telemetry would put the machine's software into the user agent and ask the public hub for a
    # list. The library reads its variable only at import.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    return huggingface_hub


def _counter(url: str, progress: Callable[[int], None]) -> type:
    """Return a class that http_get takes for a progress bar and that calls ``progress``."""

    class Counter:
        def __init__(self, *, initial: int = 0, **_: object) -> None:
            self.done = initial
            self.restarts = 0
            progress(initial)

        def __enter__(self) -> Counter:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, more: int) -> None:
            if more < 0:  # http_get starts over whenever it is cut off
                self.restarts += 1
                if self.restarts > _RESTARTS:
                    raise WeightsError(
                        f"{url} was cut off again and again, and its server cannot resume; try "
                        f"later, or use another hub (setting models.hub)"
                    )
            self.done += more
            progress(self.done)

    return Counter


@contextmanager
def _explained(what: str, address: str) -> Iterator[None]:
    """Turn the library's errors into WeightsError, and mute its warnings."""
    library = _library()
    errors = library.errors
    try:
        library.get_session()
    except Exception as error:  # whatever its libraries find in the environment
        raise WeightsError(
            f"no connection to {address} can be made ({error}); check the variables for proxies "
            "and certificates: ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, SSL_CERT_FILE, SSL_CERT_DIR"
        ) from error
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{address} gives {what} only to accounts that agreed to its conditions: agree on the "
            f"model's page, then put your token into HF_TOKEN or run `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise WeightsError(f"{address} has no {what}; choose another --revision") from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(
            f"{address} does not have {what}, or does not show it to you: check the setting "
            f"models.hub and the variable HF_ENDPOINT; if it needs a token, put that into HF_TOKEN"
        ) from error
    except errors.HfHubHTTPError as error:
        raise WeightsError(_refusal(error.response.status_code, what, address)) from error
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        offline = isinstance(error, errors.OfflineModeIsEnabled)
        why = "HF_HUB_OFFLINE is set" if offline else f"{type(error).__name__}: {error}"
        raise WeightsError(
            f"{what} could not be downloaded from {address} ({why}); check the network; {_AGAIN}"
        ) from error
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise WeightsError(
                f"the disk became full while {what} was downloaded; make room; {_AGAIN}"
            ) from error
        if error.errno is not None:
            raise WeightsError(f"cannot write {what}: {error}") from error
        raise WeightsError(
            f"{what} did not arrive completely from {address}; check the network; {_AGAIN}"
        ) from error
    finally:
        logger.setLevel(level)


def _refusal(status: int, what: str, address: str) -> str:
    if status in (401, 403):
        return (
            f"{address} refuses {what} (HTTP {status}): the token in HF_TOKEN (or that of `hf auth "
            f"login`) is wrong or lacks the right to read it"
        )
    if status == 404:
        return f"{address} has no {what} (HTTP 404); check the address, or choose another revision"
    return f"{address} cannot give {what} just now (HTTP {status}); try later; {_AGAIN}"


def _listed(entry: Any) -> StoredFile:
    size = entry.lfs.size if entry.lfs else entry.size
    if size is None or not (entry.lfs or entry.blob_id):
        raise ValueError(f"no size or digest of {entry.rfilename}")
    digest = f"sha256:{entry.lfs.sha256}" if entry.lfs else f"git-sha1:{entry.blob_id}"
    return StoredFile(entry.rfilename, int(size), digest)


def _matches(part: Path, file: StoredFile) -> bool:
    """Return whether ``part`` is ``file``, and delete it if not."""
    if digest_of(part, file.digest.partition(":")[0]) == file.digest:
        return True
    part.unlink()
    return False


def _other_bytes(name: str, url: str) -> WeightsError:
    return WeightsError(
        f"{name} came with other bytes than published, so it is not used ({url}); if this happens "
        f"again, use another hub (setting models.hub)"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WeightsError(
            f"{text!r} is no address of a server; it must look like {PUBLIC_HUB} (settings "
            f"models.hub and models.code_host, variable HF_ENDPOINT)"
        )
    return text.rstrip("/")
