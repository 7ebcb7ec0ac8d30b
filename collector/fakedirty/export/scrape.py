"""``/metrics``: the format and the encoding that the client asks for."""

from __future__ import annotations

import gzip
from email.message import Message

from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import CollectorRegistry

from .answering import Answer, Page

GZIP_LEVEL = 1  # metrics are so repetitive that more effort saves little and costs much


def metrics_page(registry: CollectorRegistry) -> Page:
    """The page that answers with all of `registry`."""

    def page(headers: Message) -> Answer:
        encoder, content_type = choose_encoder(headers.get("Accept", ""))
        body = encoder(registry)
        if gzip_accepted(headers.get("Accept-Encoding", "")):
            return Answer(gzip.compress(body, GZIP_LEVEL), content_type, headers={"Content-Encoding": "gzip"})
        return Answer(body, content_type)

    return page
