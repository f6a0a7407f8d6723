-- A password reset whose producer was not sure whether it had rung, and rings again.
INSERT INTO email (sender, to_addresses, subject, text_body, expires_at, idempotency_key) VALUES (
    'Shop <accounts@shop.example>',
    JSON_ARRAY('ada@customer.example'),
    'Reset your password',
    'https://shop.example/reset/4f1c2a',
    UTC_TIMESTAMP(6) + INTERVAL 15 MINUTE,
    'password-reset-4f1c2a'
);
