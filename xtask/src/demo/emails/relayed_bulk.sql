-- The same in the bulk lane, which the message's header names.
INSERT INTO email (sender, to_addresses, subject, text_body, lane, list_name) VALUES (
    'Shop <news@shop.example>',
    JSON_ARRAY('Cem <cem@customer.example>'),
    'What will be new in December',
    'Kettles.',
    'bulk', 'news'
);
