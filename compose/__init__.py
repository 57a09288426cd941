"""The stack on one machine: a local Kafka, an embedded ClickHouse, and the official images for docker compose."""
