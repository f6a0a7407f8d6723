//! Every class of answer, over real sockets.

mod server;

use std::time::Duration;

use aws_credential_types::Credentials;
use doorbell::aws::AwsAccess;
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
};

use self::server::{Behaviour, Server};
use super::*;
use crate::{
    email::{AttachmentRow, EmailRow, Parsed},
    mailer::Consequence,
};

/// Longer than anything on loopback takes, shorter than a patient reader's wait.
const PATIENT: Duration = Duration::from_secs(20);

fn mailer(endpoint: &str, connect_timeout: Duration) -> SesMailer {
    let credentials = Credentials::new("AKIAEXAMPLE", "secret", None, None, "test");
    let access = AwsAccess::new("eu-central-1", credentials, None).unwrap();
    let config = SesConfig {
        endpoint_url: Some(endpoint.to_owned()),
        configuration_set: Some("transactional".to_owned()),
        connect_timeout,
    };
    SesMailer::new(&access, config)
}

fn row() -> EmailRow {
    EmailRow {
        id: 42,
        sender: "Zoë's Shop <orders@shop.example>".to_owned(),
        to_addresses: r#"["Ada <ada@customer.example>"]"#.to_owned(),
        bcc_addresses: Some(r#"["archive@shop.example"]"#.to_owned()),
        reply_to: Some(r#"["help@shop.example"]"#.to_owned()),
        subject: "Grüße".to_owned(),
        text_body: Some("Hello".to_owned()),
        tags: Some(r#"{"order":17}"#.to_owned()),
        ..EmailRow::default()
    }
}

fn parse(row: EmailRow) -> Email {
    match Email::parse(row).unwrap() {
        Parsed::Sendable(email) => *email,
        Parsed::AllSuppressed => panic!("suppressed"),
    }
}

fn attempt() -> AttemptId {
    AttemptId::new(1_790_000_000_000, 7)
}

async fn send_to(endpoint: &str, timeout: Duration) -> SendOutcome {
    let mailer = mailer(endpoint, PATIENT);
    let request = mailer.prepare(&parse(row()), &attempt()).unwrap();
    mailer.call(request, timeout).await
}

#[tokio::test]
async fn a_request_that_is_late_does_not_leave() {
    let server = Server::answering("200 OK", "", r#"{"MessageId":"0102"}"#).await;
    let mailer = mailer(&server.url(), PATIENT);
    // With a connection at hand that would be quick enough.
    let first = mailer.prepare(&parse(row()), &attempt()).unwrap();
    assert_eq!(kind(&mailer.call(first, PATIENT).await).0, "accepted");
    let late = mailer.prepare(&parse(row()), &attempt()).unwrap();
    assert_eq!(kind(&mailer.call(late, Duration::ZERO).await), ("later", "ses_too_late"));
    assert_eq!(server.requests().len(), 1);
}

/// Sends once and asserts that exactly one request arrived.
async fn send_once(server: &Server) -> SendOutcome {
    let outcome = send_to(&server.url(), PATIENT).await;
    assert_eq!(server.requests().len(), 1, "{outcome:?}");
    outcome
}

fn kind(outcome: &SendOutcome) -> (&'static str, &'static str) {
    match outcome {
        SendOutcome::Accepted { .. } => ("accepted", ""),
        SendOutcome::Unknown(reason) => ("unknown", reason.kind),
        SendOutcome::NotSent(refusal) => (
            match refusal.consequence {
                Consequence::Permanent => "permanent",
                Consequence::Later => "later",
                Consequence::Doubt(_) => "doubt",
                Consequence::Rest(_) => "rest",
            },
            refusal.reason.kind,
        ),
    }
}

#[tokio::test]
async fn a_clean_200_with_a_message_id_is_an_acceptance() {
    let server = Server::answering("200 OK", "", r#"{"MessageId":"0100-abc"}"#).await;
    assert_eq!(send_once(&server).await, SendOutcome::Accepted { message_id: "0100-abc".to_owned() });
}

#[tokio::test]
async fn the_request_says_who_what_and_which_attempt() {
    let server = Server::answering("200 OK", "", r#"{"MessageId":"m"}"#).await;
    send_once(&server).await;
    let attempt_id = attempt().to_string();
    assert_eq!(
        server.requests()[0],
        json!({
            "FromEmailAddress": "=?utf-8?b?Wm/DqydzIFNob3A=?= <orders@shop.example>",
            "Destination": {"ToAddresses": ["Ada <ada@customer.example>"], "BccAddresses": ["archive@shop.example"]},
            "ReplyToAddresses": ["help@shop.example"],
            "Content": {"Simple": {
                "Subject": {"Data": "Grüße", "Charset": "UTF-8"},
                "Body": {"Text": {"Data": "Hello", "Charset": "UTF-8"}},
            }},
            "EmailTags": [
                {"Name": "email_id", "Value": "42"},
                {"Name": "attempt_id", "Value": attempt_id},
                {"Name": "order", "Value": "17"},
            ],
            "ConfigurationSetName": "transactional",
        })
    );
}

#[tokio::test]
async fn simple_content_carries_headers_attachments_and_inline_images() {
    let server = Server::answering("200 OK", "", r#"{"MessageId":"m"}"#).await;
    let mailer = mailer(&server.url(), PATIENT);
    let email = parse(EmailRow {
        headers: Some(r#"{"X-Order":"17"}"#.to_owned()),
        html_body: Some("<img src=cid:logo>".to_owned()),
        attachments: vec![
            AttachmentRow {
                name: "a.pdf".to_owned(),
                content_type: "application/pdf".to_owned(),
                content_id: None,
                content: b"\0\xFF".to_vec(),
            },
            AttachmentRow {
                name: "logo.png".to_owned(),
                content_type: "image/png".to_owned(),
                content_id: Some("logo".to_owned()),
                content: b"png".to_vec(),
            },
        ],
        ..row()
    });
    mailer.call(mailer.prepare(&email, &attempt()).unwrap(), PATIENT).await;
    let simple = &server.requests()[0]["Content"]["Simple"];
    assert_eq!(simple["Headers"], json!([{"Name": "X-Order", "Value": "17"}]));
    assert_eq!(
        simple["Attachments"],
        json!([
            {"RawContent": "AP8=", "ContentDisposition": "ATTACHMENT", "FileName": "a.pdf",
             "ContentTransferEncoding": "BASE64", "ContentType": "application/pdf"},
            {"RawContent": "cG5n", "ContentDisposition": "INLINE", "FileName": "logo.png", "ContentId": "logo",
             "ContentTransferEncoding": "BASE64", "ContentType": "image/png"},
        ])
    );
}

#[tokio::test]
async fn raw_content_names_its_recipients_in_the_request_and_keeps_bcc_out_of_the_message() {
    use base64::Engine as _;

    let server = Server::answering("200 OK", "", r#"{"MessageId":"m"}"#).await;
    let mailer = mailer(&server.url(), PATIENT);
    let email = parse(EmailRow { headers: Some(r#"{"X-Note":"Größe"}"#.to_owned()), ..row() });
    mailer.call(mailer.prepare(&email, &attempt()).unwrap(), PATIENT).await;
    let request = &server.requests()[0];
    assert_eq!(request["Destination"]["BccAddresses"], json!(["archive@shop.example"]));
    assert_eq!(request["ReplyToAddresses"], json!(["help@shop.example"]));
    assert_eq!(request["EmailTags"][1]["Value"], json!(attempt().as_str()));
    let message = request["Content"]["Raw"]["Data"].as_str().unwrap();
    let message = base64::engine::general_purpose::STANDARD.decode(message).unwrap();
    let message = String::from_utf8(message).unwrap();
    assert!(message.contains("To: Ada <ada@customer.example>\r\n"), "{message}");
    assert!(!message.contains("archive@shop.example"), "{message}");
}

#[tokio::test]
async fn each_refusal_has_its_consequence() {
    let cases = [
        (429, "TooManyRequestsException", ("rest", "ses_throttled")),
        (400, "ThrottlingException", ("rest", "ses_throttled")),
        (400, "LimitExceededException", ("rest", "ses_quota_exceeded")),
        (400, "AccountSuspendedException", ("rest", "ses_account_suspended")),
        (400, "SendingPausedException", ("rest", "ses_sending_paused")),
        (400, "MailFromDomainNotVerifiedException", ("rest", "ses_mail_from_not_verified")),
        (404, "NotFoundException", ("rest", "ses_not_found")),
        (400, "MessageRejected", ("permanent", "ses_message_rejected")),
        (400, "BadRequestException", ("permanent", "ses_bad_request")),
        (400, "ValidationException", ("permanent", "ses_bad_request")),
        (413, "RequestEntityTooLarge", ("permanent", "ses_too_large")),
        (403, "AccessDeniedException", ("doubt", "ses_access_denied")),
        (403, "InvalidSignatureException", ("rest", "ses_access_denied")),
        (400, "ExpiredTokenException", ("rest", "ses_access_denied")),
        (403, "SomethingNew", ("doubt", "ses_access_denied")),
        (429, "SomethingNew", ("rest", "ses_throttled")),
        (409, "ConflictException", ("later", "ses_refused")),
        (423, "Locked", ("later", "ses_refused")),
        (425, "TooEarly", ("later", "ses_refused")),
        (408, "RequestTimeout", ("unknown", "ses_timeout")),
        (500, "InternalFailure", ("unknown", "ses_server_error")),
        (500, "TooManyRequestsException", ("unknown", "ses_server_error")),
        (502, "BadGateway", ("unknown", "ses_server_error")),
        (503, "ServiceUnavailable", ("unknown", "ses_server_error")),
        (504, "GatewayTimeout", ("unknown", "ses_server_error")),
        (302, "Found", ("unknown", "ses_server_error")),
    ];
    for (status, code, expected) in cases {
        let server = Server::error(status, code).await;
        let outcome = send_once(&server).await;
        assert_eq!(kind(&outcome), expected, "{status} {code}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_refusal_repeats_what_ses_said() {
    let server = Server::error(400, "MessageRejected").await;
    let SendOutcome::NotSent(refusal) = send_once(&server).await else { panic!("sent") };
    assert_eq!(
        refusal.reason.detail,
        "Amazon SES rejected the email: Because of a reason (MessageRejected, HTTP 400, request r-1)."
    );
}

#[tokio::test]
async fn rests_are_as_long_as_their_cause_lasts() {
    async fn rest(status: u16, code: &str, message: &str) -> Consequence {
        let headers = format!("x-amzn-ErrorType: {code}:http://internal.amazon.com/\r\n");
        let body = json!({ "message": message }).to_string();
        let server = Server::answering(&format!("{status} Refused"), &headers, &body).await;
        match send_once(&server).await {
            SendOutcome::NotSent(refusal) => refusal.consequence,
            outcome => panic!("{outcome:?}"),
        }
    }
    let too_many = "TooManyRequestsException";
    assert_eq!(
        rest(429, too_many, "Maximum sending rate exceeded.").await,
        Consequence::Rest(THROTTLED_REST)
    );
    assert_eq!(rest(429, too_many, "Daily message quota exceeded.").await, Consequence::Rest(QUOTA_REST));
    assert_eq!(rest(400, "LimitExceededException", "").await, Consequence::Rest(QUOTA_REST));
    assert_eq!(rest(400, "SendingPausedException", "").await, Consequence::Rest(ACCOUNT_REST));
    assert_eq!(rest(403, "AccessDeniedException", "").await, Consequence::Doubt(ACCESS_REST));
    assert_eq!(rest(404, "NotFoundException", "").await, Consequence::Rest(NOT_FOUND_REST));
}

#[tokio::test]
async fn a_refusal_is_certain_even_when_its_body_is_not_readable() {
    for (status, expected) in [
        ("400 Bad Request", ("later", "ses_refused")),
        ("403 Forbidden", ("doubt", "ses_access_denied")),
        ("413 Too Large", ("permanent", "ses_too_large")),
        ("429 Slow", ("rest", "ses_throttled")),
    ] {
        let server = Server::answering(status, "", "<html>no</html>").await;
        assert_eq!(kind(&send_once(&server).await), expected, "{status}");
    }
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_unknown() {
    for (body, expected) in [
        ("<html>hello</html>", "ses_unreadable_response"),
        (r#"{"MessageId":"half"#, "ses_unreadable_response"),
        (r#"{"MessageId":17}"#, "ses_unreadable_response"),
        ("{}", "ses_no_message_id"),
        ("", "ses_no_message_id"),
        (r#"{"MessageId":" "}"#, "ses_no_message_id"),
        (r#"{"MessageId":null}"#, "ses_no_message_id"),
    ] {
        let server = Server::answering("200 OK", "", body).await;
        assert_eq!(kind(&send_once(&server).await), ("unknown", expected), "{body}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_http_are_unknown() {
    for bytes in [
        &b"SSH-2.0-hello\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"MessageId\":\"a\"}",
        b"\0",
    ] {
        let server = Server::start(Behaviour::Answer(bytes.to_vec())).await;
        assert_eq!(kind(&send_once(&server).await).0, "unknown");
    }
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_unknown() {
    let server = Server::start(Behaviour::CloseAfterRequest).await;
    assert_eq!(kind(&send_once(&server).await), ("unknown", "ses_connection_lost"));
}

#[tokio::test]
async fn a_reused_connection_that_dies_does_not_repeat_the_request() {
    let body = r#"{"MessageId":"m"}"#;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let server = Server::start(Behaviour::AnswerOnce(answer.into_bytes())).await;
    let mailer = mailer(&server.url(), PATIENT);
    let email = parse(row());
    let first = mailer.call(mailer.prepare(&email, &attempt()).unwrap(), PATIENT).await;
    assert_eq!(kind(&first).0, "accepted");
    let second = mailer.call(mailer.prepare(&email, &attempt()).unwrap(), PATIENT).await;
    assert_eq!(kind(&second), ("unknown", "ses_connection_lost"));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn no_answer_in_time_is_unknown() {
    let server = Server::start(Behaviour::Hang).await;
    let outcome = send_to(&server.url(), Duration::from_millis(300)).await;
    assert_eq!(kind(&outcome), ("unknown", "ses_timeout"));
    assert_eq!(server.requests().len(), 1);
}

fn assert_never_connected(outcome: &SendOutcome) {
    assert_eq!(kind(outcome), ("rest", "ses_no_connection"), "{outcome:?}");
    let SendOutcome::NotSent(refusal) = outcome else { unreachable!() };
    assert_eq!(refusal.consequence, Consequence::Rest(NO_CONNECTION_REST));
}

#[tokio::test]
async fn a_refused_connection_was_not_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    // Bound but not listening: refuses, and nobody else gets the port.
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    assert_never_connected(&send_to(&endpoint, PATIENT).await);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_was_not_sent() {
    assert_never_connected(&send_to("http://ses.invalid", PATIENT).await);
}

#[tokio::test]
async fn a_failed_tls_handshake_was_not_sent() {
    // The client's hello is no HTTP request: the server waits for one until the client hangs up, or answers in plain text.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    });
    assert_never_connected(&send_to(&endpoint, PATIENT).await);
}

#[tokio::test]
async fn a_connection_that_is_not_answered_was_not_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once the backlog is full, the kernel drops what asks to connect.
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    let mailer = mailer(&format!("http://{address}"), Duration::from_millis(200));
    let request = mailer.prepare(&parse(row()), &attempt()).unwrap();
    assert_never_connected(&mailer.call(request, PATIENT).await);
}

#[tokio::test]
async fn nothing_personal_shows_in_debug_output() {
    let mailer = mailer("http://127.0.0.1:9", PATIENT);
    let email = parse(row());
    let shown = format!("{mailer:?} {:?} {email:?} {:?}", mailer.prepare(&email, &attempt()), row());
    for secret in ["ada", "shop.example", "Hello", "secret", "Gr"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
