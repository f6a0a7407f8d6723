-- A bug of the producer: a row is never refused, so that its transaction is not.
INSERT INTO email (sender, to_addresses, subject, text_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY(),
    'Your receipt',
    'Thank you.'
);
