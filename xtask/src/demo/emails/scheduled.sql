-- Not before four seconds from now. It is rung at once, and only once: the doorbell is put off until then.
INSERT INTO email (sender, to_addresses, subject, text_body, due_at) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Ada <ada@customer.example>'),
    'A reminder, four seconds later',
    'You asked us to remind you.',
    UTC_TIMESTAMP(6) + INTERVAL 4 SECOND
);
