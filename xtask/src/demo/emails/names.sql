-- A confirmation with text and HTML, and nothing in ASCII but the addresses.
INSERT INTO email (sender, to_addresses, subject, text_body, html_body) VALUES (
    'Käthes Lädchen <orders@shop.example>',
    JSON_ARRAY('Žofie Dvořáková <zofie@customer.example>', '山田 太郎 <taro@customer.example>'),
    'Schöne Grüße! Ваш заказ 2041 принят – ご注文ありがとうございます ☕',
    'Two cups, one pot. We pack them today.',
    '<p>Two cups, one pot. <strong>We pack them today.</strong></p><p>Děkujeme! ありがとうございます。</p>'
);
