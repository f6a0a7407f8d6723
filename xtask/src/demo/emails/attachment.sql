-- An invoice: the file stands in a table of its own, written in the same transaction.
INSERT INTO email (sender, reply_to, to_addresses, subject, text_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Accounts <accounts@shop.example>'),
    JSON_ARRAY('Ada <ada@customer.example>'),
    'Your invoice 2041',
    'The invoice is attached. Answers go to our accounts department.'
);
SET @email = LAST_INSERT_ID();
INSERT INTO attachment (email_id, name, content_type, content) VALUES (
    @email, 'Rechnung für März 2041.pdf', 'application/pdf',
    FROM_BASE64('
    JVBERi0xLjQKMSAwIG9iajw8L1R5cGUvQ2F0YWxvZy9QYWdlcyAyIDAgUj4+IGVuZG9iagoyIDAgb2JqPDwvVHlwZS9QYWdlcy9L
    aWRzWzMgMCBSXS9Db3VudCAxPj4gZW5kb2JqCjMgMCBvYmo8PC9UeXBlL1BhZ2UvUGFyZW50IDIgMCBSL01lZGlhQm94WzAgMCAz
    MDAgMTIwXS9SZXNvdXJjZXM8PC9Gb250PDwvRjEgNSAwIFI+Pj4+L0NvbnRlbnRzIDQgMCBSPj4gZW5kb2JqCjQgMCBvYmo8PC9M
    ZW5ndGggNTM+PnN0cmVhbQpCVCAvRjEgMTggVGYgMjAgNzAgVGQgKEludm9pY2UgMjA0MTogMTIuNTAgRVVSKSBUaiBFVAplbmRz
    dHJlYW0gZW5kb2JqCjUgMCBvYmo8PC9UeXBlL0ZvbnQvU3VidHlwZS9UeXBlMS9CYXNlRm9udC9IZWx2ZXRpY2E+PiBlbmRvYmoK
    eHJlZgowIDYKMDAwMDAwMDAwMCA2NTUzNSBmIAowMDAwMDAwMDA5IDAwMDAwIG4gCjAwMDAwMDAwNTMgMDAwMDAgbiAKMDAwMDAw
    MDEwMyAwMDAwMCBuIAowMDAwMDAwMjE0IDAwMDAwIG4gCjAwMDAwMDAzMTMgMDAwMDAgbiAKdHJhaWxlcjw8L1NpemUgNi9Sb290
    IDEgMCBSPj4Kc3RhcnR4cmVmCjM3NQolJUVPRgo=
')
);
