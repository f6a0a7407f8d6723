-- SES takes it, and the connection is lost before its answer: nobody can know, until SES's own Send event tells.
INSERT INTO email (sender, to_addresses, subject, text_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Bo <bo@customer.example>'),
    'Your ticket for Saturday',
    'Show your passport at the door.'
);
