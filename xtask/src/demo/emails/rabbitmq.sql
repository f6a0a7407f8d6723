-- Its producer rings through RabbitMQ; dispatch-rabbitmq sends it.
INSERT INTO email (sender, to_addresses, subject, text_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Dora <dora@customer.example>'),
    'Your order 2043',
    'Thank you for your order.'
);
