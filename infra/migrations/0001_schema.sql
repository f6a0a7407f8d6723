-- The tables of sendonce, for MariaDB >= 10.6, MySQL 8.0, 8.4 and 9, Aurora MySQL 3.
--
-- All times are UTC with microseconds. Their defaults are (UTC_TIMESTAMP(6)), never CURRENT_TIMESTAMP, which would be
-- the session's time zone. Forward only: a later change is a new file.

-- One row, one email. The upper columns are the producer's, the lower ones sendonce's own. No constraint guards the
-- producer's columns: wrong content makes the email `failed` with a reason, it does not make the producer's
-- transaction fail (only malformed JSON does).
CREATE TABLE email (
    id               BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    sender           TEXT NOT NULL                 COMMENT 'one mailbox: Shop <orders@shop.example>',
    reply_to         JSON NULL                     COMMENT 'JSON array of mailboxes',
    to_addresses     JSON NOT NULL                 COMMENT 'JSON array of mailboxes; 1 to 50 recipients with cc and bcc',
    cc_addresses     JSON NULL,
    bcc_addresses    JSON NULL,
    subject          TEXT NOT NULL,
    text_body        LONGTEXT NULL                 COMMENT 'at least one body',
    html_body        LONGTEXT NULL,
    headers          JSON NULL                     COMMENT 'JSON object of extra headers',
    tags             JSON NULL                     COMMENT 'JSON object, passed on as SES EmailTags',
    lane             VARCHAR(255) NOT NULL DEFAULT 'urgent'                COMMENT 'urgent or bulk',
    due_at           DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))       COMMENT 'not before',
    expires_at       DATETIME(6) NULL                                      COMMENT 'never after',
    idempotency_key  VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT 'the producer''s own guard',
    on_unknown       VARCHAR(255) NULL             COMMENT 'hold, resend, or NULL for the deployment''s default',
    list_name        VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT 'NULL: transactional',

    state            VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'pending',
    state_at         DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))       COMMENT 'when the state was entered',
    attempts         SMALLINT UNSIGNED NOT NULL DEFAULT 0                  COMMENT 'claims that were not given back',
    resends          SMALLINT UNSIGNED NOT NULL DEFAULT 0                  COMMENT 'earlier attempts that nobody could resolve',
    first_attempt_at DATETIME(6) NULL              COMMENT 'RETRY_FOR counts from here',
    attempt_id       CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NULL   COMMENT 'ULID of the latest attempt: the fence',
    lease_until      DATETIME(6) NULL              COMMENT 'while sending: when the attempt counts as dead',
    rung_at          DATETIME(6) NULL              COMMENT 'when the doorbell that waits for this row will sound',
    ses_message_id   VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
    sent_at          DATETIME(6) NULL,
    error_kind       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'for machines',
    error_detail     TEXT NULL                     COMMENT 'for the producer',
    created_at       DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),

    PRIMARY KEY (id),
    UNIQUE KEY email_idempotency_key (idempotency_key),
    -- The claim goes by primary key. Everything that looks for rows by state (due, dead leases, unknown) uses this one:
    -- few rows are ever `sending` or `unknown`, and each further index on `state` would be written twice an email.
    KEY email_state_due_at (state, due_at),
    CONSTRAINT email_state CHECK (state IN
        ('pending', 'sending', 'sent', 'unknown', 'failed', 'suppressed', 'cancelled', 'expired')),
    CONSTRAINT email_sending_has_lease CHECK (state <> 'sending' OR (attempt_id IS NOT NULL AND lease_until IS NOT NULL)),
    CONSTRAINT email_sent_has_time CHECK (state <> 'sent' OR sent_at IS NOT NULL),
    CONSTRAINT email_failed_says_why CHECK (state <> 'failed' OR error_kind IS NOT NULL)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Written by the producer in the same transaction as its email.
CREATE TABLE attachment (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    email_id      BIGINT UNSIGNED NOT NULL,
    name          TEXT NOT NULL,
    content_type  VARCHAR(255) NOT NULL DEFAULT 'application/octet-stream',
    content_id    VARCHAR(255) NULL COMMENT 'makes it an inline image: <img src="cid:…">',
    content       LONGBLOB NOT NULL,
    PRIMARY KEY (id),
    KEY attachment_email_id (email_id),
    CONSTRAINT attachment_email FOREIGN KEY (email_id) REFERENCES email (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- What happened to an email, append-only. No foreign key: an event may arrive for an email that is not here (yet).
CREATE TABLE email_event (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    email_id    BIGINT UNSIGNED NOT NULL,
    at          DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    kind        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
        COMMENT 'SES''s event type in snake_case, or accepted: SES''s answer to an attempt that had lost its row',
    attempt_id  CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NULL,
    detail      JSON NULL,
    dedup_key   VARCHAR(191) CHARACTER SET ascii COLLATE ascii_bin NULL
        COMMENT 'the same for every delivery of one event',
    PRIMARY KEY (id),
    UNIQUE KEY email_event_dedup_key (dedup_key),
    KEY email_event_email_id_kind (email_id, kind)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Addresses that are not written to: bare and lower case. An empty list_name suppresses everything, another one only
-- the emails of that list.
CREATE TABLE suppression (
    address    VARCHAR(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    list_name  VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    reason     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    since      DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    email_id   BIGINT UNSIGNED NULL COMMENT 'the email that caused it',
    PRIMARY KEY (address, list_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- The one row of the rate limiter (GCRA): the time at which the bucket will be empty again. The rate itself is
-- configuration.
CREATE TABLE send_rate (
    id        TINYINT UNSIGNED NOT NULL,
    tat       DATETIME(6) NOT NULL DEFAULT '1970-01-01 00:00:00' COMMENT 'theoretical arrival time',
    PRIMARY KEY (id),
    CONSTRAINT send_rate_one_row CHECK (id = 1)
) ENGINE = InnoDB;
INSERT INTO send_rate (id) VALUES (1);

-- A lane rests after failures that were not an email's own; then one email at a time probes it.
CREATE TABLE lane (
    name        VARCHAR(255) NOT NULL,
    rest_until  DATETIME(6) NOT NULL DEFAULT '1970-01-01 00:00:00' COMMENT 'nothing is claimed before',
    rest_ms     INT UNSIGNED NOT NULL DEFAULT 0       COMMENT 'length of the latest rest; doubles',
    strikes     SMALLINT UNSIGNED NOT NULL DEFAULT 0  COMMENT 'failures in a row',
    struck_at   DATETIME(6) NOT NULL DEFAULT '1970-01-01 00:00:00' COMMENT 'the latest of them',
    ring_at     DATETIME(6) NOT NULL DEFAULT '1970-01-01 00:00:00' COMMENT 'end of the line of waiting doorbells',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
INSERT INTO lane (name) VALUES ('urgent'), ('bulk');
