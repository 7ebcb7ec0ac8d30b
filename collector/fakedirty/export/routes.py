"""``/metrics``: the exporter and its own process, in the text format that a client asks for."""

from __future__ import annotations

import gzip
import threading
import time
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import (
    CONTENT_TYPE_PLAIN_0_0_4,
    choose_encoder,
    generate_latest,
    gzip_accepted,
)
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .exporter import Exporter

PATH = "/metrics"
OPENMETRICS = "application/openmetrics-text"
GZIP_LEVEL = 1  # metrics are so repetitive that more effort saves little and costs much

#: every name of ours is a valid one, so that all escaping schemes write the same: this one does not look at each letter
_generate_openmetrics = partial(openmetrics.generate_latest, escaping=openmetrics.ALLOWUTF8)


class MetricsText:
    """Writes all metrics as text, for one client at a time: two at once would each take twice as long."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._registry = CollectorRegistry()
        self._registry.register(exporter)
        ProcessCollector(registry=self._registry)  # CPU time, memory and file descriptors of this process
        self._lock = threading.Lock()

    def write(self, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type.

        Args:
            accept: the header of the request; only if it names OpenMetrics the text is OpenMetrics 1.0.0, with
                exemplars, else Prometheus' own format 0.0.4.
        """
        with self._lock:
            began = time.perf_counter()
            if choose_encoder(accept)[1].startswith(OPENMETRICS):
                text, content_type = _generate_openmetrics(self._registry), openmetrics.CONTENT_TYPE_LATEST
            else:
                text, content_type = generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4
            self._exporter.scrape_seconds = time.perf_counter() - began
        return text, content_type


def metrics_routes(exporter: Exporter) -> list[Route]:
    """The route of ``/metrics``; the server runs it in a thread."""
    metrics = MetricsText(exporter)

    def scrape(request: Request) -> Response:
        text, content_type = metrics.write(request.headers.get("Accept", ""))
        headers = {"Vary": "Accept, Accept-Encoding"}
        if gzip_accepted(request.headers.get("Accept-Encoding", "")):
            text = gzip.compress(text, GZIP_LEVEL)
            headers["Content-Encoding"] = "gzip"
        # as a header: starlette would write the character set a second time
        return Response(text, headers={**headers, "Content-Type": content_type})

    return [Route(PATH, scrape)]
