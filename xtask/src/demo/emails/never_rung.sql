-- Committed three minutes ago by a producer that died before it could ring.
INSERT INTO email (sender, to_addresses, subject, text_body, due_at) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Ada <ada@customer.example>'),
    'Your parcel has arrived',
    'It waits for you at the corner shop.',
    UTC_TIMESTAMP(6) - INTERVAL 3 MINUTE
);
