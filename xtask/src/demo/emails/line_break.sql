-- An attempt to smuggle in a recipient.
INSERT INTO email (sender, to_addresses, subject, text_body, headers) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('ada@customer.example'),
    'Your receipt',
    'Thank you.',
    JSON_OBJECT('X-Order', CONCAT('2041', CHAR(13, 10), 'Bcc: everybody@elsewhere.example'))
);
