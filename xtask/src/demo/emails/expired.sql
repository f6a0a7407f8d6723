-- A code that nobody may receive after its time.
INSERT INTO email (sender, to_addresses, subject, text_body, expires_at) VALUES (
    'Shop <accounts@shop.example>',
    JSON_ARRAY('ada@customer.example'),
    'Your code is 301 744',
    'Valid for ten minutes.',
    UTC_TIMESTAMP(6) - INTERVAL 1 SECOND
);
