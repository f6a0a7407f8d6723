-- A picture within the text: HTML names it by its content_id.
INSERT INTO email (sender, to_addresses, subject, text_body, html_body) VALUES (
    'Shop <orders@shop.example>',
    JSON_ARRAY('Ada <ada@customer.example>'),
    'Your parcel is on its way',
    'Your parcel is on its way.',
    '<p><img src="cid:parcel" alt="a sealed envelope" width="96" height="64"></p><p>Your parcel is on its way.</p>'
);
SET @email = LAST_INSERT_ID();
INSERT INTO attachment (email_id, name, content_type, content_id, content) VALUES (
    @email, 'parcel.png', 'image/png', 'parcel',
    FROM_BASE64('
    iVBORw0KGgoAAAANSUhEUgAAAGAAAABACAMAAADS6oI8AAAACVBMVEX///8eWqDwqh5jZh4JAAAA/klEQVR42u3Y2w7CMAgG4N++
    /0MvqbugB8phoNGwSwN8bUdrFa/kBwXoAOQ8dAZJ5ckSJdWn7yCj/PSS48vfQPQ6LV1EPgssT7oIkQIpNABBxFBkAhCwJ8YKC/B0
    EnP6Cjwi1tQd4Bc2iVvASWyTGMAj7FM4wExw4Txg61g29gToJ3EIPAJK4hgkABrhHCIBIiGNQAbkFRDHB2mV2SrKBYTcKftC2g5Q
    ANwpoxsaPL2u3SN6YP2iUo8L2gNhuedYro6emxrCgZuw3JatQM+AId4OoCcgEXD+Pijgh4D2ftKA1myCFWjNKBRQwOeB9H2Qv5O7
    UadpAX8K1F/LXwUuf8gHUHk6Y1UAAAAASUVORK5CYII=
')
);
