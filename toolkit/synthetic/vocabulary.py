"""Names, titles and reasons, as people would write them."""

from __future__ import annotations

__all__ = ["BASE_IMAGES", "CAUSES", "CHANGE_CAUSES", "HOSTILE_TITLES", "OTHER_CAUSES", "REASONS", "SERVICES", "SYMPTOMS"]

# name, team, class, parts. More services than these are numbered.
SERVICES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("checkout", "Buying", "critical", ("basket", "tax lines", "vouchers", "address form", "order write")),
    ("search", "Discovery", "standard", ("index", "ranking", "autocomplete", "filters", "synonyms")),
    ("payments", "Money", "critical", ("card capture", "refunds", "3-D Secure", "ledger export", "payouts")),
    ("catalog", "Discovery", "standard", ("product pages", "price feed", "images", "variants", "import job")),
    ("accounts", "Identity", "critical", ("sign-in", "password reset", "sessions", "profile", "consent")),
    ("notifications", "Messaging", "standard", ("mail queue", "push", "templates", "unsubscribe", "digests")),
    ("shipping", "Fulfilment", "standard", ("label printing", "carrier quotes", "tracking", "cut-off times", "returns")),
    ("recommendations", "Discovery", "standard", ("model server", "feature store", "carousel", "cold start", "cache")),
    ("gateway", "Platform", "critical", ("routing", "rate limits", "TLS", "retries", "header rewrite")),
    ("inventory", "Fulfilment", "standard", ("stock levels", "reservations", "warehouse sync", "counts", "holds")),
    ("reporting", "Insight", "internal", ("nightly export", "dashboards", "CSV download", "permissions", "scheduler")),
    ("backoffice", "Insight", "internal", ("order editor", "customer view", "bulk edit", "audit list", "refund form")),
    ("pricing", "Money", "critical", ("rules", "currency", "rounding", "promotions", "cache")),
    ("reviews", "Discovery", "standard", ("moderation", "ratings", "photos", "import", "summary")),
    ("fraud", "Money", "critical", ("scoring", "block list", "review queue", "model", "signals")),
    ("ledger", "Money", "standard", ("postings", "balances", "closing", "export", "reconciliation")),
    ("media", "Platform", "standard", ("resize", "upload", "video", "cache", "metadata")),
    ("wiki", "Insight", "internal", ("editor", "search", "attachments", "history", "sign-in")),
)

# tag, titles. {service} and {part} are filled in.
CHANGE_CAUSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("missing-null-check", ("500s on {part} after release", "{service}: {part} fails for customers without a saved address")),
    ("slow-query", ("{part} times out under load", "{service} p99 over 4 s since the last deploy")),
    ("connection-pool", ("{service} runs out of database connections", "Pool exhausted in {part}")),
    ("schema-mismatch", ("{part}: unknown column in production", "{service} old pods fail against the new schema")),
    ("bad-migration", ("Migration locks the {part} table", "{service} writes blocked during migration")),
    ("config-default", ("Wrong default for {part} in production", "{service} points at the test endpoint for {part}")),
    ("memory-leak", ("{service} pods restart every 20 minutes", "Memory climbs in {part} until the pod is killed")),
    ("serialisation", ("{part}: dates off by one day", "Clients cannot read the new {part} format")),
    ("timeout-budget", ("Retries from {service} overload {part}", "Cascading timeouts through {part}")),
    ("feature-interaction", ("New {part} breaks on Safari", "{part} empty when two flags are on")),
    ("dependency-upgrade", ("Library upgrade breaks {part}", "{service} returns 415 on {part} after the client bump")),
    ("cache-key", ("Customers see stale {part}", "Cache stampede on {part}")),
    ("permission", ("{part}: 403 for everyone in one country", "{service} lost access to the {part} bucket")),
    ("rounding", ("Totals off by a cent in {part}", "{part} shows negative amounts")),
)

OTHER_CAUSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("third-party", ("Provider behind {part} is down", "{service}: partner API answers 503")),
    ("capacity", ("{service} saturated by campaign traffic", "Queue of {part} grows faster than it drains")),
    ("certificate", ("Certificate of {part} expired", "{service} TLS handshake errors")),
    ("hardware", ("Node with {service} pods lost", "Disk of the {part} store failed over")),
    ("dns", ("{service} cannot resolve its database", "Resolver timeouts hit {part}")),
    ("network", ("Packet loss between zones, {service} slow", "{part} unreachable from one zone")),
    ("data", ("Broken supplier file stops {part}", "One customer's import blocks {part}")),
    ("abuse", ("Scraper hammers {part}", "Credential stuffing on {service}")),
)

CAUSES = tuple(tag for tag, _ in CHANGE_CAUSES + OTHER_CAUSES)

SYMPTOMS = ("error-rate", "latency-p99", "queue-age", "saturation", "availability", "success-ratio", "restart-count", "synthetic-probe")

REASONS = (
    "Errors on {part} went up right after the release",
    "Rolling back {version}, p99 doubled",
    "{part} broken for customers, going back to the last good one",
    "Canary worse than baseline",
    "Support reports failing {part}",
    "Stop the bleeding, cause not understood yet",
)

BASE_IMAGES = (
    "Base image 3.19.2 breaks TLS to the databases",
    "New base image drops the time zone data",
    "Sidecar 1.44 rejects long headers",
)

# Titles are untrusted text. The sample carries some that would hurt a careless page, sheet or terminal.
HOSTILE_TITLES = (
    "<script>alert('incident')</script> in the title of {service}",
    '=HYPERLINK("file:///tmp/x","click") reported by customer',
    "=cmd()",
    "@SUM(1+1) shows up in {part} export, cells turn into formulas",
    'Quote " comma, semicolon; pipe | and backslash \\ in {part}',
    "Bidi: invoice \u202egnp.exe\u202c shown for {part}",
    "Zero\u200bwidth and combining e\u0301\u0301\u0301 in {part}; \U0001f525 everything",
    "Customers cannot " + "pay, cannot see why, cannot reach support and cannot " * 12 + "leave",
)
