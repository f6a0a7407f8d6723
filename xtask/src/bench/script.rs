//! What the function says for one email, as templates that can be said again for another.

use std::io;

use super::{
    Failure, mysql,
    stage::{Function, Stage},
    tee::Tee,
};

/// Both servers' side of one email.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// The statement batch that claims and reads, as a packet.
    pub(super) claim: Template,
    /// The request to SES, head and body.
    pub(super) post: Template,
    /// The write after it, as a packet.
    pub(super) mark: Template,
}

/// Bytes with places that change from email to email. All values of a place have the same length.
#[derive(Debug, Clone)]
pub(super) struct Template {
    bytes: Vec<u8>,
    places: Vec<(Place, usize)>,
}

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `email.id`, in decimal.
    Id,
    /// The attempt's token.
    Attempt,
    /// The same, in a literal of SQL.
    AttemptHex,
    /// The message id, in a literal of SQL.
    MessageIdHex,
}

/// The values of one email.
#[derive(Debug)]
pub(super) struct Values {
    id: String,
    attempt: String,
    attempt_hex: String,
    message_id_hex: String,
}

impl Values {
    /// Of an email that is about to be claimed. Its attempt's token is its own id, which is unique enough.
    pub(super) fn of(id: u64) -> Self {
        let attempt = format!("{id:026}");
        Self {
            id: id.to_string(),
            attempt_hex: hex(attempt.as_bytes()),
            attempt,
            message_id_hex: String::new(),
        }
    }

    /// With what SES answered.
    pub(super) fn answered(&mut self, message_id: &[u8]) {
        self.message_id_hex = hex(message_id);
    }

    fn get(&self, place: Place) -> &str {
        match place {
            Place::Id => &self.id,
            Place::Attempt => &self.attempt,
            Place::AttemptHex => &self.attempt_hex,
            Place::MessageIdHex => &self.message_id_hex,
        }
    }
}

impl Template {
    fn new(bytes: Vec<u8>, values: &Values) -> Self {
        let mut places = Vec::new();
        for place in [Place::Id, Place::Attempt, Place::AttemptHex, Place::MessageIdHex] {
            let value = values.get(place).as_bytes();
            if !value.is_empty() {
                let found = bytes.windows(value.len()).enumerate().filter(|(_, window)| *window == value);
                places.extend(found.map(|(at, _)| (place, at)));
            }
        }
        Self { bytes, places }
    }

    /// The bytes for another email.
    pub(super) fn fill(&mut self, values: &Values) -> io::Result<&[u8]> {
        for (place, at) in &self.places {
            let value = values.get(*place).as_bytes();
            let end = at + value.len();
            self.bytes.get_mut(*at..end).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(value);
        }
        Ok(&self.bytes)
    }
}

impl Script {
    /// Has the function send one email through a [`Tee`] before each server, and reads off what it said.
    pub(super) async fn record(stage: &Stage) -> Result<Self, Failure> {
        let database = Tee::start(stage.database_address()).await?;
        let ses = Tee::start(stage.ses_address()).await?;
        let function = Function::start(
            stage,
            [
                ("DATABASE_TLS", "off".to_owned()),
                ("DATABASE_URL", stage.url_through(database.port())),
                ("AWS_ENDPOINT_URL_SESV2", format!("http://127.0.0.1:{}", ses.port())),
            ],
        )
        .await?;
        let id = *stage.write_emails(1).await?.first().ok_or("no email was written")?;
        function.send(id).await?;
        function.stop().await;
        let row = format!("SELECT attempt_id, ses_message_id FROM email WHERE id = {id} AND state = 'sent'");
        let row = stage.rows(&row).await?.into_iter().next().unwrap_or_default();
        let [Some(attempt), Some(message_id)] = &row[..] else {
            return Err("the email whose bytes were to be kept was not sent".into());
        };
        let mut values = Values {
            id: id.to_string(),
            attempt: attempt.clone(),
            attempt_hex: hex(attempt.as_bytes()),
            message_id_hex: String::new(),
        };
        values.answered(message_id.as_bytes());
        let statements = statements(&database.said());
        let [claim, mark] = &statements[..] else {
            return Err(format!("expected a claim and a record, saw {} statements", statements.len()).into());
        };
        Ok(Self {
            claim: Template::new(mysql::statement(claim)?, &values),
            post: Template::new(ses.said(), &values),
            mark: Template::new(mysql::statement(mark)?, &values),
        })
    }
}

/// The texts of the `COM_QUERY` packets in what a client said.
fn statements(mut said: &[u8]) -> Vec<Vec<u8>> {
    let mut statements = Vec::new();
    while let [a, b, c, number, rest @ ..] = said {
        let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
        let Some((packet, rest)) = rest.split_at_checked(length) else { break };
        // Every command begins a numbering; the login continues the server's.
        if let (0, Some((&mysql::QUERY, sql))) = (*number, packet.split_first()) {
            statements.push(sql.to_vec());
        }
        said = rest;
    }
    statements
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Template, Values, statements};

    #[test]
    fn a_template_says_the_same_of_another_email() {
        let bytes = b"id 10000001, attempt 00000000000000000010000001".to_vec();
        let mut template = Template::new(bytes, &Values::of(10_000_001));
        let filled = template.fill(&Values::of(10_000_002)).unwrap();
        assert_eq!(filled, b"id 10000002, attempt 00000000000000000010000002");
    }

    #[test]
    fn statements_are_told_from_logins_and_good_byes() {
        let said = [&[2, 0, 0, 1, 3, b'x'][..], &[3, 0, 0, 0, 3, b'D', b'O'], &[1, 0, 0, 0, 1]].concat();
        assert_eq!(statements(&said), [b"DO"]);
    }
}
