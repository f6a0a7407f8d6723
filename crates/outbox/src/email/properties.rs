//! Nothing that a producer writes can add a header, a recipient or a part; what it writes in any language arrives.

use std::time::{Duration, SystemTime};

use mail_parser::{Address, HeaderForm, HeaderValue, MessageParser, MessagePart, MimeHeaders as _, PartType};
use proptest::prelude::*;

use super::*;

const BOUNDARY: &str = "sendonce-01K5NYZ1ZZ0000000000000007-";

/// Text made to break out of wherever it is put, among harmless text.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9 .]{0,12}",
        2 => "\\PC{0,6}",
        1 => any::<String>(),
        3 => prop::sample::select(vec![
            "\r\n", "\n", "\r", "\0", "\t", "\u{85}", "\u{2028}", "\r\n\r\n", "\r\nBcc: evil@x.example", "\nX-Evil: 1",
            "Bcc: evil@x.example", ",", ";", ":", "<", ">", "\"", "\\", "\\\"", "(", ")", "@", "<evil@x.example>",
            ", evil@x.example", "a@b.example", "=?utf-8?q?=0D=0ABcc:_evil@x.example?=", "=?", "?=", "Grüße", "📬", "日本語",
            "é é", "  ", "--", "--sendonce-", "\r\n--sendonce-01K5NYZ1ZZ0000000000000008-M--\r\n",
            "\r\nContent-Type: text/html\r\n\r\n<p>", "[]", "{}", "null", "%0d%0a", "\u{202e}", "e\u{301}",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn mailbox() -> impl Strategy<Value = String> {
    let name = "[\\p{L}\\p{N} .,!;:&()=?-]{0,40}";
    let domain = prop::sample::select(vec!["shop.example", "Müller.example", "a.b.example"]);
    prop_oneof![
        98 => (name, "[a-z0-9+]{1,12}", domain).prop_map(|(name, local, domain)| {
            if name.trim().is_empty() { format!("{local}@{domain}") } else { format!("\"{name}\" <{local}@{domain}>") }
        }),
        1 => nasty(),
        1 => nasty().prop_map(|name| format!("\"{name}\" <a@b.example>")),
    ]
}

fn array(most: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        60 => prop::collection::vec(mailbox(), 0..most).prop_map(|items| serde_json::to_string(&items).unwrap()),
        1 => nasty(),
    ]
}

fn object() -> impl Strategy<Value = String> {
    let name = prop_oneof![150 => "X-[A-Za-z]{1,8}", 1 => nasty()];
    let value = prop_oneof![75 => "[a-z][\\p{L}\\p{N} =?.<>,-]{1,300}", 75 => "[ -~]{0,40}[a-z][ -~]{0,300}", 2 => nasty()];
    prop_oneof![
        60 => prop::collection::btree_map(name, value, 0..20).prop_map(|map| serde_json::to_string(&map).unwrap()),
        1 => nasty(),
    ]
}

fn attachment() -> impl Strategy<Value = AttachmentRow> {
    let name = prop_oneof![30 => "[\\p{L}0-9 _-]{1,60}\\.(pdf|png)", 1 => nasty()];
    let content_type = prop_oneof![
        30 => prop::sample::select(vec!["application/pdf", "image/png", "application/x-a; name=\"b c\""])
            .prop_map(str::to_owned),
        1 => nasty(),
    ];
    let content_id =
        prop_oneof![15 => Just(None), 15 => "[a-z]{1,12}".prop_map(Some), 1 => nasty().prop_map(Some)];
    (
        name,
        content_type,
        content_id,
        prop_oneof![prop::collection::vec(any::<u8>(), 0..200), nasty().prop_map(String::into_bytes)],
    )
        .prop_map(|(name, content_type, content_id, content)| AttachmentRow {
            name,
            content_type,
            content_id,
            content,
        })
}

/// Mostly valid, with now and then something nasty anywhere: an invalid column hides what the others would do.
fn row() -> impl Strategy<Value = EmailRow> {
    let body = || prop::option::weighted(0.8, prop_oneof![nasty(), "[ -~\n]{1,2000}", "[\\p{L} \n]{1,400}"]);
    let text = prop_oneof![9 => "[\\p{L}\\p{N} =?]{0,120}", 9 => "[ -~]{0,998}", 2 => nasty()];
    (
        (any::<u64>(), mailbox(), prop::option::of(array(3)), array(30), prop::option::of(array(4))),
        (prop::option::of(array(4)), text, body(), body(), prop::option::of(object())),
        prop::collection::vec(attachment(), 0..4),
    )
        .prop_map(
            |((id, sender, reply_to, to, cc), (bcc, subject, text, html, headers), attachments)| EmailRow {
                id,
                sender,
                reply_to,
                to_addresses: to,
                cc_addresses: cc,
                bcc_addresses: bcc,
                subject,
                text_body: text,
                html_body: html,
                headers,
                tags: None,
                attachments,
                suppressed: Vec::new(),
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_is_refused_or_becomes_exactly_its_message(row in row()) {
        match Email::parse(row.clone()) {
            Ok(Parsed::Sendable(email)) => {
                assert_recipients_come_from(&row, &email);
                assert_simple_fields_are_clean(&email);
                assert_message_is(&email);
            }
            Ok(Parsed::AllSuppressed) => panic!("nobody is suppressed"),
            Err(invalid) => assert!(!invalid.detail().chars().any(char::is_control), "{invalid}"),
        }
    }

    #[test]
    fn a_mailbox_of_any_text_is_refused_or_one_mailbox(written in prop_oneof![mailbox(), nasty(), any::<String>()]) {
        if let Ok(mailbox) = Mailbox::parse(&written) {
            let again = Mailbox::parse(&match mailbox.name() {
                Some(name) => format!("\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), mailbox.address()),
                None => mailbox.address().to_owned(),
            });
            assert_eq!(again, Ok(mailbox));
        }
    }

    #[test]
    fn tags_of_any_json_are_refused_or_words(json in prop_oneof![object(), nasty()]) {
        for tag in tag::parse(Some(&json)).unwrap_or_default() {
            for word in [tag.name(), tag.value()] {
                assert!(word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{word}");
            }
        }
    }
}

fn assert_recipients_come_from(row: &EmailRow, email: &Email) {
    let columns = [
        (Some(&row.to_addresses), email.to()),
        (row.cc_addresses.as_ref(), email.cc()),
        (row.bcc_addresses.as_ref(), email.bcc()),
    ];
    for (json, mailboxes) in columns {
        let written: Vec<String> = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        assert!(mailboxes.len() <= written.len());
        for mailbox in mailboxes {
            let found =
                written.iter().any(|w| Mailbox::parse(w).as_ref().map(Mailbox::key) == Ok(mailbox.key()));
            assert!(found, "{}", mailbox.address());
        }
    }
    assert!((1..=MAX_RECIPIENTS).contains(&email.recipient_count()));
}

fn assert_simple_fields_are_clean(email: &Email) {
    for mailbox in email.recipients().chain(email.reply_to()).chain([email.sender()]) {
        let line = mailbox.encoded();
        assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
        // Read by another library, the field is still one mailbox, with the same name.
        let header = format!("To: {line}\r\n\r\n");
        let message = MessageParser::new().parse(header.as_bytes()).unwrap();
        assert_addresses(message.to(), std::slice::from_ref(mailbox));
    }
    if email.form() == Form::Simple {
        for header in email.headers() {
            assert!(header.value().bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}

fn assert_message_is(email: &Email) {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let bytes = mime::compose(email, date, BOUNDARY).unwrap();
    assert!(bytes.len() as u64 <= email.encoded_size_upper_bound());
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(text.is_ascii());
    for line in text.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?} in {text}");
    }

    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split_once(':').unwrap().0)
        .collect();
    let mut expected = vec!["From", "Date", "Subject"];
    let lists = [("To", email.to()), ("Cc", email.cc()), ("Reply-To", email.reply_to())];
    expected.extend(lists.iter().filter(|(_, list)| !list.is_empty()).map(|(name, _)| *name));
    expected.extend(email.headers().iter().map(ExtraHeader::name));
    expected.push("MIME-Version");
    assert_eq!(names[..expected.len()], expected);
    let content = &names[expected.len()..];
    assert!(
        content.iter().all(|name| ["Content-Type", "Content-Transfer-Encoding"].contains(name)),
        "{content:?}"
    );

    let message = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(message.subject().unwrap_or_default(), email.subject());
    assert_addresses(message.from(), std::slice::from_ref(email.sender()));
    assert_addresses(message.to(), email.to());
    assert_addresses(message.cc(), email.cc());
    assert_addresses(message.reply_to(), email.reply_to());
    for header in email.headers() {
        let form = if header.value().is_ascii() { HeaderForm::Raw } else { HeaderForm::Text };
        let values = message.header_as(header.name(), form);
        let [HeaderValue::Text(value)] = &values[..] else {
            panic!("{}: {} in {head}: {values:?}", header.name(), header.value())
        };
        assert_eq!(value.replace("\r\n", ""), header.value());
    }
    assert_parts(&message, email);
}

fn assert_addresses(found: Option<&Address<'_>>, expected: &[Mailbox]) {
    let found: Vec<(Option<&str>, &str)> = match found {
        Some(Address::List(list)) => {
            list.iter().map(|a| (a.name.as_deref(), a.address.as_deref().unwrap_or_default())).collect()
        }
        Some(Address::Group(groups)) => panic!("{groups:?}"),
        None => Vec::new(),
    };
    let expected: Vec<_> = expected.iter().map(|mailbox| (mailbox.name(), mailbox.address())).collect();
    assert_eq!(found, expected);
}

fn assert_parts(message: &mail_parser::Message<'_>, email: &Email) {
    let is_file = |part: &&MessagePart<'_>| part.content_disposition().is_some();
    let leaves: Vec<_> = message.parts.iter().filter(|part| !part.is_multipart()).collect();
    let bodies: Vec<_> = leaves.iter().filter(|part| !is_file(part)).collect();
    let expected: Vec<_> = [email.text_body(), email.html_body()].into_iter().flatten().collect();
    assert_eq!(bodies.len(), expected.len());
    for (part, body) in bodies.iter().zip(expected) {
        let (PartType::Text(found) | PartType::Html(found)) = &part.body else { panic!("{:?}", part.body) };
        assert_eq!(one_break(found), one_break(body));
    }
    let mut files: Vec<_> = leaves
        .iter()
        .filter(|part| is_file(part))
        .map(|part| (part.attachment_name().unwrap_or_default().to_owned(), part.contents().to_vec()))
        .collect();
    let mut attached: Vec<_> =
        email.attachments().iter().map(|a| (a.name().to_owned(), a.content().to_vec())).collect();
    files.sort();
    attached.sort();
    assert_eq!(files, attached);
}

/// Mail has one kind of line end, and a message ends with one.
fn one_break(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}
