-- A ledger file as schema 1 wrote it, before quarantine kept keys and deployments had config_revision.
CREATE TABLE schema_number (number INTEGER);
INSERT INTO schema_number VALUES (1);
CREATE TABLE raw (
    id BIGINT, run BIGINT, source VARCHAR, record VARCHAR, seen_at TIMESTAMPTZ,
    path VARCHAR, sha256 VARCHAR, first_row BIGINT, last_row BIGINT, items BLOB
);
CREATE TABLE cursors (source VARCHAR, stream VARCHAR, value VARCHAR, seen_at TIMESTAMPTZ);
CREATE TABLE coverage (
    stream VARCHAR, source VARCHAR, "start" TIMESTAMPTZ, "end" TIMESTAMPTZ, assumed BOOLEAN, gap BOOLEAN, seen_at TIMESTAMPTZ
);
CREATE TABLE quarantine (
    id VARCHAR, record VARCHAR, source VARCHAR, path VARCHAR, place VARCHAR, field VARCHAR, rule VARCHAR, error VARCHAR,
    raw VARCHAR, version VARCHAR, run BIGINT, seen_at TIMESTAMPTZ
);
CREATE TABLE runs (
    id BIGINT, source VARCHAR, record VARCHAR, path VARCHAR, started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, status VARCHAR,
    read BIGINT, "new" BIGINT, changed BIGINT, unchanged BIGINT, superseded BIGINT, quarantined BIGINT, error VARCHAR
);
CREATE TABLE deployments (
    source VARCHAR, source_id VARCHAR, revised_at TIMESTAMPTZ, service VARCHAR, environment VARCHAR, version VARCHAR, status VARCHAR,
    seen_at TIMESTAMPTZ, content_hash VARCHAR, raw_ref BIGINT
);
INSERT INTO deployments VALUES (
    'files', 'd1', '2026-01-01 00:00:00+00', 'shop', 'production', 'v1', 'succeeded', '2026-01-01 00:00:00+00', '5cac8a241bfda9d02e5c065c7e5059ff3ab58c199e74c1d530f47c6b48f71ad4', 1
);
CREATE TABLE deployments_versions AS FROM deployments LIMIT 0;
INSERT INTO quarantine VALUES (
    'q1', 'deployment', 'files', 'd.csv', 'row 2', 'service', 'missing', 'service: every row needs it.', '{"id": "d9"}', 'abc', 1,
    '2026-01-01 00:00:00+00'
);
