//! Raw content: MIME that the sender made.

use mail_parser::{Addr, Address, MessageParser, MessagePart, MimeHeaders, PartType};

use super::{
    check,
    recorded::{Attachment, Message},
    refusal::Refusal,
};

/// The longest line of a message, without its end.
const LINE_LIMIT: usize = 998;

/// Reads and checks raw content. Sender and recipients are taken from its headers where the request names none.
pub(super) fn read(data: &[u8], message: &mut Message) -> Result<(), Refusal> {
    message.headers = check_form(data)?;
    check::once(message.headers.iter().map(|(name, _)| name.as_str()))?;
    message.has_bcc_header = message.header("bcc").is_some();
    if message.header("from").is_none() {
        return Err(Refusal::bad_request("Missing required header 'From'."));
    }
    let parsed = MessageParser::default()
        .parse(data)
        .ok_or_else(|| Refusal::bad_request("Message cannot be parsed."))?;
    if message.from.is_none() {
        message.from = mailboxes(parsed.from()).into_iter().next();
    }
    if message.recipients().next().is_none() {
        message.to = mailboxes(parsed.to());
        message.cc = mailboxes(parsed.cc());
        message.bcc = mailboxes(parsed.bcc());
    }
    if message.reply_to.is_empty() {
        message.reply_to = mailboxes(parsed.reply_to());
    }
    message.subject = parsed.subject().map(str::to_owned);
    // The parser offers a text body made from HTML where there is none, and the other way round: only parts that
    // are what they are asked for count.
    message.text = parsed.text_bodies().find_map(|part| match &part.body {
        PartType::Text(text) => Some(text.to_string()),
        _ => None,
    });
    message.html = parsed.html_bodies().find_map(|part| match &part.body {
        PartType::Html(html) => Some(html.to_string()),
        _ => None,
    });
    message.attachments = parsed.attachments().map(attachment).collect();
    let is_broken = parsed.parts.iter().any(|part| part.is_encoding_problem);
    if is_broken { Err(Refusal::bad_request("A part's content does not fit its encoding.")) } else { Ok(()) }
}

/// Checks the lines, and returns the headers as they are.
fn check_form(data: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut in_headers = true;
    let mut lines = data.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        if is_last && line.is_empty() {
            // What follows the last line's end is no line.
            break;
        }
        let line = match line.strip_suffix(b"\r") {
            Some(line) if !is_last => line,
            None if is_last => line,
            _ => return Err(Refusal::bad_request("A line of the message does not end with CRLF.")),
        };
        if line.contains(&b'\r') || line.contains(&0) {
            return Err(Refusal::bad_request("The message contains a bare CR or a NUL."));
        }
        if line.len() > LINE_LIMIT {
            return Err(Refusal::bad_request(format!("A line of the message is longer than {LINE_LIMIT}.")));
        }
        if in_headers {
            in_headers = !line.is_empty();
            if in_headers {
                header(line, &mut headers)?;
            }
        }
    }
    if in_headers {
        return Err(Refusal::bad_request("The message has no body: no empty line ends its headers."));
    }
    Ok(headers)
}

fn header(line: &[u8], headers: &mut Vec<(String, String)>) -> Result<(), Refusal> {
    let wrong = || Refusal::bad_request("A header of the message is malformed or not ASCII.");
    let line = std::str::from_utf8(line).ok().filter(|line| line.is_ascii()).ok_or_else(wrong)?;
    if line.starts_with([' ', '\t']) {
        let (_, value) = headers.last_mut().ok_or_else(wrong)?;
        value.push(' ');
        value.push_str(line.trim());
        return Ok(());
    }
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    headers.push((name.to_owned(), value.trim().to_owned()));
    Ok(())
}

/// Mailboxes in a form that is checked as those of a request are: decoded names cannot be, so they are left out.
fn mailboxes(address: Option<&Address<'_>>) -> Vec<String> {
    address.into_iter().flat_map(Address::iter).filter_map(Addr::address).map(str::to_owned).collect()
}

fn attachment(part: &MessagePart<'_>) -> Attachment {
    let is_inline = part.content_disposition().is_some_and(|how| how.ctype().eq_ignore_ascii_case("inline"));
    let content_type = part.content_type().map(|kind| match kind.subtype() {
        Some(subtype) => format!("{}/{subtype}", kind.ctype()),
        None => kind.ctype().to_owned(),
    });
    Attachment {
        name: part.attachment_name().unwrap_or_default().to_owned(),
        content_type,
        content_id: part.content_id().map(str::to_owned),
        disposition: Some(if is_inline { "INLINE" } else { "ATTACHMENT" }.to_owned()),
        bytes: part.contents().to_vec().into(),
    }
}
