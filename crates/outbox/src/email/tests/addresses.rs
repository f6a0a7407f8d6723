//! Mailboxes, the columns that hold them, suppression.

use super::*;

#[test]
fn mailboxes_come_in_three_spellings_and_any_language() {
    for (written, name, address, encoded) in [
        ("a@b.example", None, "a@b.example", "a@b.example"),
        ("<a@b.example>", None, "a@b.example", "a@b.example"),
        (" Ada  <a@b.example> ", Some("Ada"), "a@b.example", "Ada <a@b.example>"),
        (
            r#""Last, First" <a@b.example>"#,
            Some("Last, First"),
            "a@b.example",
            "=?utf-8?b?TGFzdCwgRmlyc3Q=?= <a@b.example>",
        ),
        ("Dr. Ada <a@b.example>", Some("Dr. Ada"), "a@b.example", "\"Dr. Ada\" <a@b.example>"),
        ("Zoë <a@b.example>", Some("Zoë"), "a@b.example", "=?utf-8?b?Wm/Dqw==?= <a@b.example>"),
        ("\"\" <a@b.example>", None, "a@b.example", "a@b.example"),
        ("o'hara+x@B.Example", None, "o'hara+x@b.example", "o'hara+x@b.example"),
        ("post@müller.example", None, "post@xn--mller-kva.example", "post@xn--mller-kva.example"),
    ] {
        let mailbox = Mailbox::parse(written).unwrap_or_else(|problem| panic!("{written}: {problem}"));
        assert_eq!((mailbox.name(), mailbox.address()), (name, address), "{written}");
        assert_eq!(mailbox.encoded(), encoded, "{written}");
    }
}

#[test]
fn what_is_not_one_mailbox_is_refused() {
    for written in [
        "",
        " ",
        "ada",
        "@b.example",
        "a@",
        "a@b",
        "a@b.example, c@d.example",
        "a@b.example c@d.example",
        "Ada (at work) <a@b.example>",
        "Ada, Inc. <a@b.example>",
        "friends: a@b.example;",
        "<@r.example:a@b.example>",
        "Ada <a@b.example",
        "Ada <a@b.example>>",
        "< a@b.example>",
        "a @b.example",
        "a. b@c.example",
        "a@b .example",
        "\"a b\"@c.example",
        "\"a\"@c.example",
        ".a@b.example",
        "a..b@c.example",
        "a@b..example",
        "a@.example",
        "a@b.example.",
        "a@-b.example",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@b_c.example",
        "ädä@b.example",
        "a@b.example\nBcc: c@d.example",
        "Ada\r\nBcc: x <a@b.example>",
        "a@b.example\0",
        "A\tda <a@b.example>",
        "A\u{85}da <a@b.example>",
        "A\u{2028}da <a@b.example>",
        "\"A\\\nda\" <a@b.example>",
        "=?utf-8?q?Zo=C3=AB?= <a@b.example>",
    ] {
        let problem = Mailbox::parse(written).expect_err(written);
        assert!(!problem.ends_with('.') && !problem.contains('\n'), "{problem}");
    }
    let long = |local: usize, domain: usize| {
        let labels = vec!["d".repeat(60); domain / 60].join(".");
        Mailbox::parse(&format!("{}@{labels}.example", "a".repeat(local)))
    };
    assert!(long(64, 180).is_ok());
    assert!(long(65, 60).is_err());
    assert!(long(64, 300).is_err());
    assert!(Mailbox::parse(&format!("{} <a@b.example>", "é".repeat(200))).is_ok());
    assert!(Mailbox::parse(&format!("{} <a@b.example>", "é".repeat(201))).is_err());
    assert!(Mailbox::parse(&"x".repeat(1_000_000)).is_err());
}

#[test]
fn white_space_other_than_spaces_is_refused_around_and_inside_an_address() {
    for space in ['\u{a0}', '\u{1680}', '\u{2003}', '\u{202f}', '\u{3000}'] {
        let says = format!("has a white-space character U+{:04X} around it", u32::from(space));
        for written in [
            format!("{space}a@b.example"),
            format!("a@b.example{space}"),
            format!(" {space} a@b.example"),
            format!("a@b.example {space}"),
            format!("{space}Ada <a@b.example>"),
            format!("Ada <a@b.example>{space}"),
            format!("Ada <{space}a@b.example>"),
            format!("Ada <a@b.example{space}>"),
            format!("Ada <a{space}@b.example>"),
            format!("a@b{space}.example"),
            format!("{space}"),
        ] {
            let problem = Mailbox::parse(&written).expect_err(&written);
            assert!(problem.starts_with(&says), "{written:?}: {problem}");
        }
    }
    let named = Mailbox::parse("\"Ada\u{a0}L.\" <a@b.example>").expect("a name may have it");
    assert_eq!(named.name(), Some("Ada\u{a0}L."));
}

#[test]
fn a_mailbox_is_as_long_as_suppression_reads_at_most() {
    let padded = |spaces: usize| Mailbox::parse(&format!("{}a@b.example", " ".repeat(spaces)));
    assert_eq!(padded(1_389).expect("1,400 characters").address(), "a@b.example");
    assert_eq!(padded(1_390).expect_err("1,401"), "has 1401 characters; at most 1400 work");
    let widest = format!("\"{}\" <{}@b.example>", "📬".repeat(200), "a".repeat(64));
    assert!(Mailbox::parse(&widest).is_ok(), "characters count, not bytes");
    let long = to(&serde_json::to_string(&[" ".repeat(2_000)]).unwrap());
    assert_refused(long, "invalid_recipient", "has 2000 characters; at most 1400 work.");
}

#[test]
fn a_refused_sender_or_recipient_is_named_by_column_and_position() {
    let bad = EmailRow { sender: "Shop".to_owned(), ..row() };
    assert_refused(bad, "invalid_sender", "sender: “Shop” is not one mailbox; write");
    assert_refused(
        to(r#"["a@b.example","Ada\r\nBcc: c@d.example <a@b.example>"]"#),
        "invalid_recipient",
        "to_addresses, item 2: “Ada\\r\\nBcc: c@d.example <a@b.example>” contains a line break",
    );
    let bad = EmailRow { cc_addresses: Some(r#"["x"]"#.to_owned()), ..row() };
    assert_refused(bad, "invalid_recipient", "cc_addresses, item 1: “x”");
    let bad = EmailRow { bcc_addresses: Some(r#"["ä@b.example"]"#.to_owned()), ..row() };
    assert_refused(
        bad,
        "invalid_recipient",
        "bcc_addresses, item 1: “ä@b.example” has letters outside ASCII",
    );
    let bad = EmailRow { reply_to: Some(r#"["x"]"#.to_owned()), ..row() };
    assert_refused(bad, "invalid_reply_to", "reply_to, item 1: “x”");
    let many: Vec<String> = (0..=MAX_REPLY_TO).map(|n| format!("r{n}@shop.example")).collect();
    let bad = EmailRow { reply_to: Some(serde_json::to_string(&many).unwrap()), ..row() };
    assert_refused(bad, "invalid_reply_to", "reply_to: 11 mailboxes; at most 10 work.");
}

#[test]
fn address_columns_hold_json_arrays_of_strings() {
    for (json, says) in [
        ("ada@customer.example", "but is not valid JSON (line 1, column 1)."),
        ("", "but is not valid JSON"),
        (r#""ada@customer.example""#, "but is a string."),
        (r#"{"a":"b@c.example"}"#, "but is an object."),
        ("17", "but is a number."),
        ("true", "but is a boolean."),
        (r#"["a@b.example", null]"#, "but item 2 is null."),
        (r#"[["a@b.example"]]"#, "but item 1 is an array."),
        (r"[1]", "but item 1 is a number."),
        (r#"["a@b.example""#, "but is not valid JSON"),
    ] {
        assert_refused(to(json), "invalid_recipient", says);
    }
    assert_refused(to(&"[".repeat(100_000)), "invalid_recipient", "not valid JSON");
}

#[test]
fn one_to_fifty_recipients_and_none_twice() {
    for none in ["[]", "null"] {
        let (kind, detail) = refused(EmailRow { cc_addresses: Some("null".to_owned()), ..to(none) });
        assert_eq!(kind, "no_recipient");
        assert!(
            detail.starts_with("There is no recipient: to_addresses, cc_addresses and bcc_addresses"),
            "{detail}"
        );
    }
    let many = |count: usize| {
        serde_json::to_string(&(0..count).map(|n| format!("c{n}@customer.example")).collect::<Vec<_>>())
            .unwrap()
    };
    assert_eq!(parse(to(&many(50))).recipient_count(), 50);
    assert_refused(to(&many(51)), "too_many_recipients", "There are 51 recipients");
    let spread = EmailRow { cc_addresses: Some(r#"["x@customer.example"]"#.to_owned()), ..to(&many(50)) };
    assert_refused(spread, "too_many_recipients", "There are 51 recipients");

    let only_bcc = EmailRow { bcc_addresses: Some(r#"["b@shop.example"]"#.to_owned()), ..to("[]") };
    let email = parse(only_bcc);
    assert_eq!((addresses(email.to()), addresses(email.bcc())), (vec![], vec!["b@shop.example"]));

    let email = parse(EmailRow {
        cc_addresses: Some(r#"["Ada L. <ADA@customer.example>", "c@customer.example"]"#.to_owned()),
        bcc_addresses: Some(r#"["c@Customer.example", "b@customer.example"]"#.to_owned()),
        ..to(r#"["Ada <ada@customer.example>", "ada@customer.example"]"#)
    });
    assert_eq!(addresses(email.to()), ["ada@customer.example"]);
    assert_eq!(email.to()[0].name(), Some("Ada"));
    assert_eq!(addresses(email.cc()), ["c@customer.example"]);
    assert_eq!(addresses(email.bcc()), ["b@customer.example"]);
}

#[test]
fn suppressed_recipients_get_nothing() {
    let suppress = |suppressed: &[&str]| {
        Email::parse(EmailRow {
            cc_addresses: Some(r#"["Bob@Müller.example"]"#.to_owned()),
            suppressed: suppressed.iter().map(|&s| s.to_owned()).collect(),
            ..row()
        })
        .unwrap()
    };
    let Parsed::Sendable(email) = suppress(&["ada@customer.example", "else@where.example"]) else { panic!() };
    assert_eq!((addresses(email.to()), addresses(email.cc())), (vec![], vec!["Bob@xn--mller-kva.example"]));
    assert_eq!(suppress(&["ada@customer.example", "bob@müller.example"]), Parsed::AllSuppressed);
    assert_eq!(suppress(&["ada@customer.example", "bob@xn--mller-kva.example"]), Parsed::AllSuppressed);
    let invalid =
        EmailRow { subject: "a\nb".to_owned(), suppressed: vec!["ada@customer.example".to_owned()], ..row() };
    assert_eq!(refused(invalid).0, "invalid_subject");
}
