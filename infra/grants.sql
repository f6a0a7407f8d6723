-- The database users of sendonce, one a function, each with what its statements need and nothing else. No function may
-- change what a producer wrote, feedback cannot read an address or a body, and only migrate may change the schema.
-- tests/it/grants.rs takes each single right away and sees something fail; the tests of each function run as its user.
--
-- Where the stack makes the database (Database=made) you need not run it: the function migrate has this file in its binary
-- and runs it when it has changed, the producer's section left out, with RDS IAM authentication for everybody. For that, every
-- statement begins a line and ends one.
--
-- For MySQL 8.0, 8.4 and 9, Aurora MySQL 3, and MariaDB from 10.6. Before you run it, as an administrator:
--
-- 1. Replace the database's name, `shop`, everywhere. A `_` or `%` in it is a wildcard where the grant is on all tables
--    (`shop`.* below, and nowhere else): write \_ and \% there.
-- 2. Replace every password that stands in < >. With RDS IAM authentication there is none: write
--    IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' in place of IDENTIFIED BY '…'. Otherwise the server's default plugin
--    will do, caching_sha2_password on MySQL, mysql_native_password or ed25519 on MariaDB.
-- 3. Leave out the users of functions that you do not deploy. '%' may be narrowed to the functions' subnets, as in
--    'sendonce_sweep'@'10.0.%'.
--
-- The first section stands by itself: run it before the first deploy, which makes the tables. The others name tables and
-- columns, so run them after that, or after you applied infra/migrations by hand. What a function is asked meanwhile
-- waits: without rights it takes nothing up. To run all of it again does no harm, and a release whose changelog says that
-- rights were added needs it.
--
-- Where the servers differ, /*M! … */ is MariaDB's alone and /*!80000 … */ MySQL's alone; each reads the other's as a
-- comment. (A mysql client strips the first, so use mariadb's with a MariaDB.) Where a statement says ON DUPLICATE KEY
-- UPDATE, MySQL asks for UPDATE on the column that it names, MariaDB on those that were inserted; and only MySQL asks for
-- a right where a table refers to another.
--
-- REQUIRE SSL is DatabaseTls=verify seen from the server. Where DatabaseTls is off, take it out.

-- ── migrate: the schema, and no row of an email ────────────────────────────────────────────────────────────────────────

CREATE USER IF NOT EXISTS 'sendonce_migrate'@'%' IDENTIFIED BY '<password of migrate>' REQUIRE SSL;
-- INSERT is part of altering a table, and of the rows that a table comes with. There is no DROP: nothing needs it yet.
GRANT CREATE, ALTER, INSERT /*!80000 , REFERENCES */ ON `shop`.* TO 'sendonce_migrate'@'%';
-- What was applied. Rights on a table that is not there yet have to include CREATE.
GRANT CREATE, SELECT, UPDATE, DELETE ON `shop`.`_sqlx_migrations` TO 'sendonce_migrate'@'%';

-- ── dispatch-sqs ───────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE USER IF NOT EXISTS 'sendonce_dispatch_sqs'@'%' IDENTIFIED BY '<password of dispatch_sqs>' REQUIRE SSL;
GRANT SELECT ON `shop`.`email` TO 'sendonce_dispatch_sqs'@'%';
GRANT UPDATE (state, state_at, attempts, first_attempt_at, attempt_id, lease_until, due_at, rung_at, ses_message_id,
    sent_at, error_kind, error_detail) ON `shop`.`email` TO 'sendonce_dispatch_sqs'@'%';
GRANT SELECT ON `shop`.`attachment` TO 'sendonce_dispatch_sqs'@'%';
GRANT SELECT (address, list_name) ON `shop`.`suppression` TO 'sendonce_dispatch_sqs'@'%';
-- The history is written and never changed: an id that is set to itself is how a row that stands there already is left.
GRANT SELECT (id, email_id, kind, attempt_id), INSERT (email_id, kind, attempt_id, detail, dedup_key),
    UPDATE (/*!80000 id */ /*M! email_id, kind, attempt_id, detail, dedup_key */)
    ON `shop`.`email_event` TO 'sendonce_dispatch_sqs'@'%';
GRANT SELECT (id, tat), UPDATE (tat) ON `shop`.`send_rate` TO 'sendonce_dispatch_sqs'@'%';
GRANT SELECT, UPDATE (rest_until, rest_ms, strikes, struck_at, ring_at) ON `shop`.`lane` TO 'sendonce_dispatch_sqs'@'%';

-- ── dispatch-rabbitmq: the same ────────────────────────────────────────────────────────────────────────────────────────

CREATE USER IF NOT EXISTS 'sendonce_dispatch_rabbitmq'@'%' IDENTIFIED BY '<password of dispatch_rabbitmq>' REQUIRE SSL;
GRANT SELECT ON `shop`.`email` TO 'sendonce_dispatch_rabbitmq'@'%';
GRANT UPDATE (state, state_at, attempts, first_attempt_at, attempt_id, lease_until, due_at, rung_at, ses_message_id,
    sent_at, error_kind, error_detail) ON `shop`.`email` TO 'sendonce_dispatch_rabbitmq'@'%';
GRANT SELECT ON `shop`.`attachment` TO 'sendonce_dispatch_rabbitmq'@'%';
GRANT SELECT (address, list_name) ON `shop`.`suppression` TO 'sendonce_dispatch_rabbitmq'@'%';
GRANT SELECT (id, email_id, kind, attempt_id), INSERT (email_id, kind, attempt_id, detail, dedup_key),
    UPDATE (/*!80000 id */ /*M! email_id, kind, attempt_id, detail, dedup_key */)
    ON `shop`.`email_event` TO 'sendonce_dispatch_rabbitmq'@'%';
GRANT SELECT (id, tat), UPDATE (tat) ON `shop`.`send_rate` TO 'sendonce_dispatch_rabbitmq'@'%';
GRANT SELECT, UPDATE (rest_until, rest_ms, strikes, struck_at, ring_at) ON `shop`.`lane` TO 'sendonce_dispatch_rabbitmq'@'%';

-- ── sweep: the same, since it sends where no queue can be rung, and it counts what is sent again ───────────────────────

CREATE USER IF NOT EXISTS 'sendonce_sweep'@'%' IDENTIFIED BY '<password of sweep>' REQUIRE SSL;
GRANT SELECT ON `shop`.`email` TO 'sendonce_sweep'@'%';
GRANT UPDATE (state, state_at, attempts, resends, first_attempt_at, attempt_id, lease_until, due_at, rung_at,
    ses_message_id, sent_at, error_kind, error_detail) ON `shop`.`email` TO 'sendonce_sweep'@'%';
GRANT SELECT ON `shop`.`attachment` TO 'sendonce_sweep'@'%';
GRANT SELECT (address, list_name) ON `shop`.`suppression` TO 'sendonce_sweep'@'%';
GRANT SELECT (id, email_id, kind, attempt_id), INSERT (email_id, kind, attempt_id, detail, dedup_key),
    UPDATE (/*!80000 id */ /*M! email_id, kind, attempt_id, detail, dedup_key */)
    ON `shop`.`email_event` TO 'sendonce_sweep'@'%';
GRANT SELECT (id, tat), UPDATE (tat) ON `shop`.`send_rate` TO 'sendonce_sweep'@'%';
GRANT SELECT, UPDATE (rest_until, rest_ms, strikes, struck_at, ring_at) ON `shop`.`lane` TO 'sendonce_sweep'@'%';

-- ── feedback: states and history, and nothing that a person wrote ──────────────────────────────────────────────────────

CREATE USER IF NOT EXISTS 'sendonce_feedback'@'%' IDENTIFIED BY '<password of feedback>' REQUIRE SSL;
GRANT SELECT (id, state, state_at, attempt_id, resends, ses_message_id, sent_at, created_at),
    UPDATE (state, state_at, lease_until, rung_at, ses_message_id, sent_at, error_kind, error_detail)
    ON `shop`.`email` TO 'sendonce_feedback'@'%';
GRANT SELECT (id, email_id, kind, attempt_id), INSERT (email_id, at, kind, attempt_id, detail, dedup_key),
    UPDATE (/*!80000 id */ /*M! email_id, at, kind, attempt_id, detail, dedup_key */)
    ON `shop`.`email_event` TO 'sendonce_feedback'@'%';

-- ── sendonce, the command line, and `cargo xtask redrive` ──────────────────────────────────────────────────────────────
-- Without UPDATE and INSERT they still do all that only looks: show, list, stats, every --dry-run, and the whole of redrive,
-- which changes queues and no row.

CREATE USER IF NOT EXISTS 'sendonce_operator'@'%' IDENTIFIED BY '<password of operator>' REQUIRE SSL;
GRANT SELECT ON `shop`.`email` TO 'sendonce_operator'@'%';
GRANT UPDATE (state, state_at, attempts, resends, first_attempt_at, lease_until, due_at, expires_at, rung_at, sent_at,
    error_kind, error_detail) ON `shop`.`email` TO 'sendonce_operator'@'%';
GRANT SELECT, INSERT (email_id, kind, attempt_id, detail) ON `shop`.`email_event` TO 'sendonce_operator'@'%';
GRANT SELECT ON `shop`.`attachment` TO 'sendonce_operator'@'%';
GRANT SELECT ON `shop`.`send_rate` TO 'sendonce_operator'@'%';
GRANT SELECT, UPDATE (rest_until, struck_at) ON `shop`.`lane` TO 'sendonce_operator'@'%';

-- ── A producer. Your application has its user already: give these rights to that one, and leave out this one ───────────

CREATE USER IF NOT EXISTS 'sendonce_producer'@'%' IDENTIFIED BY '<password of producer>' REQUIRE SSL;
GRANT SELECT, INSERT (sender, reply_to, to_addresses, cc_addresses, bcc_addresses, subject, text_body, html_body, headers,
    tags, lane, due_at, expires_at, idempotency_key, on_unknown, list_name)
    ON `shop`.`email` TO 'sendonce_producer'@'%';
GRANT INSERT (email_id, name, content_type, content_id, content) ON `shop`.`attachment` TO 'sendonce_producer'@'%';
