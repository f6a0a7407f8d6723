-- One email to several people, some of whom the others do not see.
INSERT INTO email (sender, to_addresses, cc_addresses, bcc_addresses, subject, text_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Ada <ada@customer.example>'),
    JSON_ARRAY('Ben <ben@customer.example>', 'cleo@customer.example'),
    JSON_ARRAY('Archive <archive@shop.example>'),
    'Your order for three households',
    'Ada ordered, Ben and Cleo know of it, and our archive has a copy that they do not see.'
);
