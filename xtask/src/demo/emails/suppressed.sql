-- To somebody whose mailbox bounced for good some time ago.
INSERT INTO suppression (address, reason) VALUES ('gone@customer.example', 'bounce');
INSERT INTO email (sender, to_addresses, subject, text_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Gil <gone@customer.example>'),
    'We miss you',
    'It has been a while.'
);
