-- Its producer rings through RabbitMQ; relay-rabbitmq hands the doorbell on to SQS.
INSERT INTO email (sender, to_addresses, subject, text_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Cem <cem@customer.example>'),
    'Your order 2042',
    'Thank you for your order.'
);
