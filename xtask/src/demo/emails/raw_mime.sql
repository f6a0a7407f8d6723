-- A header value beyond ASCII: SES takes it only within a message that is already MIME.
INSERT INTO email (sender, to_addresses, subject, text_body, html_body, headers) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Émile <emile@customer.example>'),
    'Your appointment at the café',
    'We expect you on Friday.',
    '<p>We expect you on <em>Friday</em>.</p>',
    JSON_OBJECT('X-Branch', 'Café Zoë, Plzeň')
);
