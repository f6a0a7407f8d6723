//! From the JSON of a request to what is recorded of it, and whether SES would take it.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{
    check, mime,
    recorded::{Attachment, Message, Recorded},
    refusal::Refusal,
    wire,
};

/// Reads a request's body into `record`. As much as can be read is recorded even when it is refused.
pub(super) fn read(body: &[u8], record: &mut Recorded) -> Result<(), Refusal> {
    let request: wire::SendEmail = serde_json::from_slice(body)
        .map_err(|error| Refusal::protocol(400, "SerializationException", error.to_string()))?;
    let tags = read_tags(&request.email_tags, record);
    record.configuration_set.clone_from(&request.configuration_set_name);
    let destination = request.destination.unwrap_or_default();
    record.message = Message {
        from: request.from_email_address,
        reply_to: request.reply_to_addresses,
        to: destination.to_addresses,
        cc: destination.cc_addresses,
        bcc: destination.bcc_addresses,
        ..Message::default()
    };
    let read = read_content(request.content, &mut record.message);
    // The first thing that is wrong is told, in the order in which SES looks.
    tags?;
    read?;
    check::configuration_set(record.configuration_set.as_deref())?;
    if request.list_management_options.is_some_and(|list| list.contact_list_name.is_none()) {
        return Err(missing("ListManagementOptions.ContactListName"));
    }
    check::message(&record.message)
}

fn read_tags(tags: &[wire::Tag], record: &mut Recorded) -> Result<(), Refusal> {
    let mut result = Ok(());
    for tag in tags {
        let (name, value) = (tag.name.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default());
        let wrong = check::tag(&name, &value).err();
        let doubled = record.tags.insert(name.clone(), value).is_some();
        let wrong = wrong.or_else(|| {
            doubled
                .then(|| Refusal::bad_request(format!("Duplicate message tag name <{name}> is not allowed.")))
        });
        result = result.and(wrong.map_or(Ok(()), Err));
    }
    record.email_id = record.tags.get("email_id").and_then(|id| id.parse().ok());
    record.attempt_id = record.tags.get("attempt_id").cloned();
    result
}

fn read_content(content: Option<wire::Content>, message: &mut Message) -> Result<(), Refusal> {
    let content = content.ok_or_else(|| missing("Content"))?;
    match (content.simple, content.raw, content.template) {
        (Some(simple), None, None) => read_simple(simple, message),
        (None, Some(raw), None) => read_raw(raw, message),
        (None, None, Some(template)) => read_template(template, message),
        _ => Err(Refusal::bad_request("Exactly one of Simple, Raw and Template is required in Content.")),
    }
}

fn read_simple(simple: wire::Simple, message: &mut Message) -> Result<(), Refusal> {
    let body = simple.body.unwrap_or_default();
    let subject = read_text(simple.subject, "Subject");
    let text = read_text(body.text, "Body.Text");
    let html = read_text(body.html, "Body.Html");
    let headers = read_headers(simple.headers, message);
    let attachments = read_attachments(simple.attachments, message);
    message.subject = subject?;
    message.text = text?;
    message.html = html?;
    headers?;
    attachments?;
    if message.from.is_none() {
        return Err(missing("FromEmailAddress"));
    }
    let subject = message.subject.as_deref().ok_or_else(|| missing("Content.Simple.Subject"))?;
    if subject.chars().any(char::is_control) {
        return Err(Refusal::bad_request("Subject contains control characters."));
    }
    if message.text.is_none() && message.html.is_none() {
        return Err(missing("Content.Simple.Body.Text or .Html"));
    }
    check::headers(&message.headers)?;
    check::size(simple_size(message))
}

/// The size of the MIME that SES will make, but for its headers and boundaries.
fn simple_size(message: &Message) -> usize {
    let bodies = message.text.as_ref().map_or(0, String::len) + message.html.as_ref().map_or(0, String::len);
    bodies
        + message.attachments.iter().map(|attachment| attachment.bytes.len().div_ceil(3) * 4).sum::<usize>()
}

fn read_text(text: Option<wire::Text>, what: &str) -> Result<Option<String>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let data = text.data.ok_or_else(|| missing(&format!("{what}.Data")))?;
    check::charset(text.charset.as_deref(), &data)?;
    Ok(Some(data))
}

fn read_headers(headers: Vec<wire::Header>, message: &mut Message) -> Result<(), Refusal> {
    for header in headers {
        let name = header.name.ok_or_else(|| missing("Headers.Name"))?;
        let value = header.value.ok_or_else(|| missing("Headers.Value"))?;
        message.headers.push((name, value));
    }
    Ok(())
}

fn read_attachments(attachments: Vec<wire::Attachment>, message: &mut Message) -> Result<(), Refusal> {
    for attachment in attachments {
        check::attachment(&attachment)?;
        let content = attachment.raw_content.ok_or_else(|| missing("Attachments.RawContent"))?;
        message.attachments.push(Attachment {
            name: attachment.file_name.ok_or_else(|| missing("Attachments.FileName"))?,
            content_type: attachment.content_type,
            content_id: attachment.content_id,
            disposition: attachment.content_disposition,
            bytes: decode(&content, "Attachments.RawContent")?,
        });
    }
    Ok(())
}

fn read_raw(raw: wire::Raw, message: &mut Message) -> Result<(), Refusal> {
    let data = raw.data.ok_or_else(|| missing("Content.Raw.Data"))?;
    let data = decode(&data, "Content.Raw.Data")?;
    message.raw = Some(data.clone());
    mime::read(&data, message)?;
    check::size(data.len())
}

fn read_template(template: wire::Template, message: &mut Message) -> Result<(), Refusal> {
    if message.from.is_none() {
        return Err(missing("FromEmailAddress"));
    }
    let sources = [template.template_name.is_some(), template.template_arn.is_some()];
    let content = template.template_content;
    let named = sources.into_iter().filter(|given| *given).count() + usize::from(content.is_some());
    if named != 1 {
        return Err(Refusal::bad_request(
            "Exactly one of TemplateName, TemplateArn and TemplateContent is required.",
        ));
    }
    let data = template.template_data.ok_or_else(|| missing("Content.Template.TemplateData"))?;
    if serde_json::from_str::<serde_json::Map<_, _>>(&data).is_err() {
        return Err(Refusal::bad_request("TemplateData is not a JSON object."));
    }
    // What SES would make of the data is not imitated: the template's own words are recorded.
    let content = content.unwrap_or_default();
    (message.subject, message.text, message.html) = (content.subject, content.text, content.html);
    read_headers(template.headers, message)?;
    check::headers(&message.headers)?;
    read_attachments(template.attachments, message)
}

fn decode(text: &str, what: &str) -> Result<Bytes, Refusal> {
    BASE64_STANDARD
        .decode(text)
        .map(Bytes::from)
        .map_err(|_| Refusal::protocol(400, "SerializationException", format!("{what} is not base64")))
}

fn missing(what: &str) -> Refusal {
    Refusal::bad_request(format!("Missing required parameter: {what}."))
}
