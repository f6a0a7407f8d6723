//! What Amazon's own client sends is accepted, and what is answered it reads as SES's.

use aws_credential_types::Credentials;
use aws_sdk_sesv2::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    error::ProvideErrorMetadata,
    primitives::Blob,
    types::{
        Attachment, AttachmentContentDisposition, Body, Content, Destination, EmailContent, Message,
        MessageHeader, MessageTag, RawMessage,
    },
};

use crate::ses::{Fault, Match, Ses, SesError};

fn client(ses: &Ses) -> Client {
    let config = aws_sdk_sesv2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", Some("token".into()), None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .endpoint_url(ses.endpoint())
        .build();
    Client::from_conf(config)
}

fn text(data: &str) -> Content {
    Content::builder().data(data).charset("UTF-8").build().unwrap()
}

fn content() -> EmailContent {
    let attachment = Attachment::builder()
        .raw_content(Blob::new([0, 255]))
        .file_name("a.pdf")
        .content_disposition(AttachmentContentDisposition::Attachment)
        .content_type("application/pdf")
        .build()
        .unwrap();
    let message = Message::builder()
        .subject(text("Grüße"))
        .body(Body::builder().text(text("Hallo")).html(text("<p>Hallo")).build())
        .headers(MessageHeader::builder().name("X-A").value("b").build().unwrap())
        .attachments(attachment)
        .build();
    EmailContent::builder().simple(message).build()
}

#[tokio::test]
async fn reads_what_the_client_sends() {
    let ses = Ses::start().await.unwrap();
    let send = || {
        let to = Destination::builder().to_addresses("ada@customer.example").build();
        client(&ses).send_email().from_email_address("Shop <a@shop.example>").destination(to)
    };
    let tag = MessageTag::builder().name("email_id").value("7").build().unwrap();
    let taken = send().content(content()).email_tags(tag).configuration_set_name("c").send().await.unwrap();
    let record = &ses.accepted()[0];
    assert_eq!(record.message_id.as_deref(), taken.message_id());
    assert_eq!((record.region.as_str(), record.email_id), ("eu-central-1", Some(7)));
    assert_eq!(record.message.html.as_deref(), Some("<p>Hallo"));
    assert_eq!(record.message.attachments[0].bytes.as_ref(), [0, 255]);

    let mime = "From: a@shop.example\r\nSubject: raw\r\n\r\nHallo\r\n";
    let raw = RawMessage::builder().data(Blob::new(mime)).build().unwrap();
    send().content(EmailContent::builder().raw(raw).build()).send().await.unwrap();
    let message = &ses.accepted()[1].message;
    assert_eq!((message.subject.as_deref(), message.to.len()), (Some("raw"), 1));
    assert_eq!(message.from.as_deref(), Some("Shop <a@shop.example>"), "the request wins over the header");
}

#[tokio::test]
async fn the_client_knows_every_error() {
    let ses = Ses::start().await.unwrap();
    let client = client(&ses);
    for error in SesError::ALL {
        ses.script(Match::Any, 1, Fault::Refuse(error));
        let told = client.send_email().content(content()).send().await.unwrap_err().into_service_error();
        assert_eq!(told.code(), Some(error.name()));
        assert!(told.message().is_some());
        let is_modelled = told.is_too_many_requests_exception()
            || told.is_limit_exceeded_exception()
            || told.is_account_suspended_exception()
            || told.is_sending_paused_exception()
            || told.is_message_rejected()
            || told.is_mail_from_domain_not_verified_exception()
            || told.is_bad_request_exception()
            || told.is_not_found_exception();
        assert!(is_modelled, "{told:?}");
    }
}
