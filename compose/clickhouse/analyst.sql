-- A user who can only read, for a ClickHouse server of your own. Run it as somebody who may manage access, then give the
-- user a password that is in no file and on no command line:
--     clickhouse-client --multiquery < compose/clickhouse/analyst.sql
--     clickhouse-client        (then type)   ALTER USER analyst IDENTIFIED WITH sha256_password BY '...' HOST ANY
-- Until then nobody can log in as analyst. `readonly = 2`: clients may choose how answers look, within the limits.

CREATE SETTINGS PROFILE IF NOT EXISTS driftline_reader SETTINGS
    readonly = 2,
    max_execution_time = 60 MAX 300,
    max_memory_usage = 4000000000 MAX 4000000000,
    max_rows_to_read = 2000000000 MAX 2000000000,
    max_result_rows = 5000000 MAX 5000000;

CREATE ROLE IF NOT EXISTS driftline_reader SETTINGS PROFILE 'driftline_reader';

GRANT SHOW, SELECT ON driftline.* TO driftline_reader;

CREATE USER IF NOT EXISTS analyst IDENTIFIED WITH no_authentication HOST NONE DEFAULT ROLE driftline_reader
    SETTINGS PROFILE 'driftline_reader';
