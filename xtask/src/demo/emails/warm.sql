-- As plain as can be; written and rung when the others have ended and the functions are idle.
INSERT INTO email (sender, to_addresses, subject, text_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Ada <ada@customer.example>'),
    'Your order has been packed',
    'It leaves today.'
);
