"""Turns all failures of requests to Grafana into one error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from grafana_client.client import GrafanaException
from niquests import exceptions
from urllib3.exceptions import HTTPError

from fakedirty.errors import GrafanaError

from .address import GrafanaAddress

#: meaning of the HTTP statuses of Grafana
MEANINGS = {
    401: "does not know this token: it is wrong, has expired, or is of another organisation",
    403: "does not let this token do that: its service account needs a role that may",
    404: "does not have that",
    409: "has something else by that name",
    412: "has something else in its place, or a later version of it",
}
#: statuses after which the same request would fail again
LASTING = frozenset({400, 404, 405, 409, 412, 413, 415, 422})


@contextmanager
def explained(place: GrafanaAddress, what: str) -> Iterator[None]:
    """Raise GrafanaError for every failure within the context; `what` is being done at `place`."""
    try:
        yield
    except exceptions.SSLError as error:
        raise GrafanaError(
            f"{what}: the certificate of {place} cannot be verified ({_root(error)}); name its authority, "
            "if it is one of your own"
        ) from error
    except (exceptions.RequestException, HTTPError, OSError) as error:
        if isinstance(error, exceptions.JSONDecodeError):
            raise _no_grafana(place, what) from error
        raise GrafanaError(f"{what}: no answer from {place} ({_root(error)})") from error
    except GrafanaException as error:
        raise _refusal(place, what, error) from error
    except ValueError as error:  # the answer is not JSON
        raise _no_grafana(place, what) from error


def expected(place: GrafanaAddress, what: str, answer: object, *keys: str) -> Mapping[str, Any]:
    """`answer` if it is an object with these keys; else the server is not a Grafana, and GrafanaError is raised."""
    if isinstance(answer, Mapping) and all(key in answer for key in keys):
        return answer
    raise _no_grafana(place, what)


def _no_grafana(place: GrafanaAddress, what: str) -> GrafanaError:
    return GrafanaError(f"{what}: the server at {place} is not a Grafana: name the URL of its start page")


def _refusal(place: GrafanaAddress, what: str, error: GrafanaException) -> GrafanaError:
    status = error.status_code or 0
    if not status:
        return GrafanaError(f"{what}: no answer from {place} in time")
    response = error.response
    message = response.get("message", "") if isinstance(response, Mapping) else ""
    meaning = MEANINGS.get(status, f"answered with status {status}")
    detail = f" (its message: {' '.join(str(message).split())[:200]})" if message else ""
    return GrafanaError(f"{what}: {place} {meaning}{detail}", status=status, lasting=status in LASTING)


def _root(error: BaseException) -> str:
    """The message of the innermost cause: those around it say nothing more."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
