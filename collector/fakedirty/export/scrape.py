"""``/metrics``: what the exporter has to say, and its own process, as the client asks for it."""

from __future__ import annotations

import gzip

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder, gzip_accepted

from fakedirty.web.request_handler import Answer, Asked, Page

from .exporter import Exporter

GZIP_LEVEL = 1  # metrics are so repetitive that more effort saves little and costs much
OPENMETRICS = "application/openmetrics-text"


def metrics_page(exporter: Exporter) -> Page:
    """The page that answers with all of it."""
    process = CollectorRegistry()
    ProcessCollector(registry=process)  # the exporter's own CPU time, memory and file descriptors

    def page(asked: Asked) -> Answer:
        openmetrics = choose_encoder(asked.headers.get("Accept", ""))[1].startswith(OPENMETRICS)
        encoder, content_type = choose_encoder(f"{OPENMETRICS};version=1.0.0" if openmetrics else "")
        body = exporter.text(openmetrics).encode() + encoder(process)  # which ends it
        if gzip_accepted(asked.headers.get("Accept-Encoding", "")):
            return Answer(gzip.compress(body, GZIP_LEVEL), content_type, headers={"Content-Encoding": "gzip"})
        return Answer(body, content_type)

    return page
