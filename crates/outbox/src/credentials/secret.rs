//! A login that Secrets Manager keeps.
//!
//! It is read when the first connection is opened, and not when the process starts: an environment may be made long before
//! it is used, and a secret that cannot be read is then what a database is that cannot be reached, which harms no email,
//! and not a function that does not start, which fails every event that it is given.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use doorbell::aws::AwsAccess;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{SecretError, call::Question};
use crate::store::{Login, LoginSource, NoLogin, Pending};

/// The name of a secret, as `DATABASE_SECRET_ARN` has it. The six random characters at its end may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretArn {
    arn: String,
    partition: String,
    region: String,
}

impl SecretArn {
    /// Reads `arn:aws:secretsmanager:region:account:secret:name`; `None` for anything else, which may be the secret itself.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(7, ':');
        let parts: [&str; 7] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let [arn, partition, service, region, account, kind, name] = parts;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'{}".contains(&byte));
        // It becomes part of a host's name.
        let is_region = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        ((arn, service, kind) == ("arn", "secretsmanager", "secret") && is_plain && is_region)
            .then_some([partition, region, account, name])
            .filter(|given| given.iter().all(|part| !part.is_empty()))
            .map(|_| Self {
                arn: text.to_owned(),
                partition: partition.to_owned(),
                region: region.to_owned(),
            })
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.arn
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// Where AWS keeps it. Elsewhere (partitions without the internet, say) `AWS_ENDPOINT_URL_SECRETS_MANAGER` has to tell.
    pub(super) fn endpoint(&self) -> String {
        let domain = match self.partition.as_str() {
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            _ => "amazonaws.com",
        };
        format!("https://secretsmanager.{}.{domain}/", self.region)
    }
}

/// A secret with `username` and `password`. Built once an environment; reads nothing until somebody connects.
#[derive(Debug)]
pub struct Secret {
    question: Question,
    kept: Mutex<Kept>,
    /// How often it was read, well or not. Outside of the lock, so that who waits for it knows what has happened meanwhile.
    reads: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    login: Option<Arc<Login>>,
    /// What the last read came to, when it came to nothing.
    failed: Option<SecretError>,
}

impl Secret {
    /// Bound of one read, however often it is tried. Together with the two logins around it, that leaves a function of half a
    /// minute the time to send.
    pub const TIMEOUT: Duration = Duration::from_secs(4);

    /// The secret of this name. It is asked for where its name says it is; `endpoint_url` overrides that.
    #[must_use]
    pub fn new(access: &AwsAccess, endpoint_url: Option<&str>, arn: SecretArn) -> Self {
        let question = Question::new(access, endpoint_url, arn);
        Self { question, kept: Mutex::default(), reads: AtomicU64::new(0) }
    }

    /// The login, from Secrets Manager when none is kept, or none but the refused one.
    ///
    /// However many ask at the same time, one call is made, and its answer is everybody's.
    async fn read(&self, refused: Option<&Login>, deadline: Instant) -> Result<Arc<Login>, SecretError> {
        // Half of the time is left for what follows from having no login: ringing again, above all.
        let limit = Self::TIMEOUT.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let answer = tokio::time::timeout(limit, self.read_once(refused)).await;
        answer.unwrap_or_else(|_| {
            Err(SecretError::TimedOut { arn: self.question.arn().to_owned(), after: limit })
        })
    }

    async fn read_once(&self, refused: Option<&Login>) -> Result<Arc<Login>, SecretError> {
        let reads = self.reads.load(Ordering::Acquire);
        // Held while it is read: that is what makes the others wait. It is nobody's but this secret's.
        let mut kept = self.kept.lock().await;
        let read_meanwhile = self.reads.load(Ordering::Acquire) != reads;
        if read_meanwhile && let Some(error) = &kept.failed {
            return Err(error.clone());
        }
        if let Some(login) = &kept.login
            && (read_meanwhile || refused != Some(login))
        {
            return Ok(Arc::clone(login));
        }
        let answer = self.fetch().await;
        self.reads.fetch_add(1, Ordering::Release);
        kept.failed = answer.as_ref().err().cloned();
        let login = answer?;
        kept.login = Some(Arc::clone(&login));
        Ok(login)
    }

    async fn fetch(&self) -> Result<Arc<Login>, SecretError> {
        let began = Instant::now();
        let answer = self.question.ask().await?;
        let unfit = |problem| SecretError::Unfit { arn: self.question.arn().to_owned(), problem };
        let login = login(answer.text.as_deref()).map_err(unfit)?;
        tracing::info!(
            secret.arn = self.question.arn(),
            secret.version = answer.version,
            duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "secret.read"
        );
        Ok(Arc::new(login))
    }
}

/// What the secret says. `serde` would quote what it does not like, so it is taken apart by hand.
fn login(text: Option<&str>) -> Result<Login, &'static str> {
    let text = text.ok_or("it is not text")?;
    let mut secret = match serde_json::from_str(text) {
        Ok(Value::Object(secret)) => secret,
        Ok(_) => return Err("it is no object"),
        Err(_) => return Err("it is not JSON"),
    };
    let mut take = |name: &str, problem| match secret.remove(name) {
        Some(Value::String(value)) if !value.is_empty() => Ok(value),
        _ => Err(problem),
    };
    Ok(Login {
        user: take("username", "username is not there, or is no text")?,
        password: take("password", "password is not there, or is no text")?,
    })
}

impl LoginSource for Secret {
    fn login(&self, deadline: Instant) -> Pending<'_, Result<Arc<Login>, NoLogin>> {
        Box::pin(async move { self.read(None, deadline).await.map_err(NoLogin::because) })
    }

    fn instead_of<'a>(
        &'a self,
        refused: &'a Login,
        deadline: Instant,
    ) -> Pending<'a, Result<Option<Arc<Login>>, NoLogin>> {
        Box::pin(async move {
            let login = self.read(Some(refused), deadline).await.map_err(NoLogin::because)?;
            Ok(Some(login).filter(|login| **login != *refused))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{SecretArn, login};

    #[test]
    fn a_secret_is_named_by_its_arn() {
        let name = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:sendonce/dispatch-sqs";
        assert_eq!(SecretArn::parse(name).unwrap().region, "eu-west-1");
        for arn in [
            "arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:rds!cluster-1:2",
            "arn:aws:secretsmanager:us-east-1:111122223333:secret:a-AbCdEf",
        ] {
            assert_eq!(SecretArn::parse(arn).unwrap().arn, arn);
        }
        for wrong in [
            "",
            "sendonce/dispatch-sqs",
            "hunter2",
            r#"{"username":"mail","password":"arn:aws:secretsmanager:eu-west-1:1:secret:x"}"#,
            "arn:aws:secretsmanager::111122223333:secret:x",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a b",
            "arn:aws:ssm:eu-west-1:111122223333:secret:x",
        ] {
            assert_eq!(SecretArn::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_an_object_with_two_texts() {
        let found = login(Some(r#"{"engine":"mysql","username":"mail","password":"h\"ush","port":3306}"#));
        let found = found.unwrap();
        assert_eq!((found.user.as_str(), found.password.as_str()), ("mail", "h\"ush"));
        assert!(!format!("{found:?}").contains("ush"));
        for (text, problem) in [
            (None, "it is not text"),
            (Some("hunter2"), "it is not JSON"),
            (Some("\"hunter2\""), "it is no object"),
            (Some(r#"{"password":"hunter2"}"#), "username is not there, or is no text"),
            (Some(r#"{"username":"","password":"hunter2"}"#), "username is not there, or is no text"),
            (Some(r#"{"username":"mail","password":7}"#), "password is not there, or is no text"),
        ] {
            assert_eq!(login(text).unwrap_err(), problem);
        }
    }
}
