"""ClickHouse: one client for everybody, with retries, migrations and names for tables."""
