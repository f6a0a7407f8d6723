-- The bulk lane: a queue of its own, so that it never delays a password reset.
INSERT INTO email (sender, to_addresses, subject, text_body, html_body, lane, list_name, tags) VALUES (
    'Shop <news@shop.example>',
    JSON_ARRAY('Ada <ada@customer.example>'),
    'What is new in November',
    'Cups, pots, and a kettle.',
    '<h1>November</h1><p>Cups, pots, and a kettle.</p>',
    'bulk', 'news',
    JSON_OBJECT('campaign', 'november')
);
