-- From a domain that nobody verified with SES.
INSERT INTO email (sender, to_addresses, subject, text_body) VALUES (
    'Old shop <orders@old-shop.example>',
    JSON_ARRAY('ada@customer.example'),
    'We have moved',
    'Find us at shop.example.'
);
