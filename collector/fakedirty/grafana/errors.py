"""Whatever comes of asking Grafana, told as one error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from grafana_client.client import GrafanaException
from niquests import exceptions
from urllib3.exceptions import HTTPError

from fakedirty.errors import GrafanaError

from .address import GrafanaAddress

#: what statuses mean that Grafana answers with
MEANINGS = {
    401: "does not know this token: it is wrong, has expired, or is of another organisation",
    403: "does not let this token do that: its service account needs a role that may",
    404: "does not have that",
    409: "has something else by that name",
    412: "has something else in its place, or a later version of it",
}
#: statuses that asking again does not change
LASTING = frozenset({400, 404, 405, 409, 412, 413, 415, 422})


@contextmanager
def explained(place: GrafanaAddress, what: str) -> Iterator[None]:
    """Raise GrafanaError for what goes wrong within: `what` is being done at `place`."""
    try:
        yield
    except exceptions.SSLError as error:
        raise GrafanaError(
            f"{what}: the certificate of {place} cannot be believed ({_root(error)}); name its authority, "
            "if it is one of your own"
        ) from error
    except (exceptions.RequestException, HTTPError, OSError) as error:
        if isinstance(error, exceptions.JSONDecodeError):
            raise _no_grafana(place, what) from error
        raise GrafanaError(f"{what}: no answer from {place} ({_root(error)})") from error
    except GrafanaException as error:
        raise _refusal(place, what, error) from error
    except ValueError as error:  # an answer that is no JSON
        raise _no_grafana(place, what) from error


def expected(place: GrafanaAddress, what: str, answer: object, *keys: str) -> Mapping[str, Any]:
    """`answer`, if it is an object with these keys; else there is no Grafana, and a GrafanaError."""
    if isinstance(answer, Mapping) and all(key in answer for key in keys):
        return answer
    raise _no_grafana(place, what)


def _no_grafana(place: GrafanaAddress, what: str) -> GrafanaError:
    return GrafanaError(f"{what}: what answers at {place} is no Grafana: name the URL at which its start page is")


def _refusal(place: GrafanaAddress, what: str, error: GrafanaException) -> GrafanaError:
    status = error.status_code or 0
    if not status:
        return GrafanaError(f"{what}: no answer from {place} in time")
    response = error.response
    said = response.get("message", "") if isinstance(response, Mapping) else ""
    meaning = MEANINGS.get(status, f"answered with status {status}")
    detail = f" (it says: {' '.join(str(said).split())[:200]})" if said else ""
    return GrafanaError(f"{what}: {place} {meaning}{detail}", status=status, lasting=status in LASTING)


def _root(error: BaseException) -> str:
    """The innermost reason, which is the one that means something."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
