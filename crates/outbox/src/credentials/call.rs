//! `GetSecretValue`, the one action of Secrets Manager that is needed: signed by the library that the SDKs sign with, sent by
//! the HTTP client underneath them.
//!
//! The SDK's own client would bring half a megabyte for this; see docs/decisions/0014-database-credentials.md. What it would
//! do besides stands here: where the service is, which answers are worth a second try, and that nothing is kept of an answer
//! but what was asked for.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::{http::HttpConnector as _, orchestrator::HttpRequest};
use aws_smithy_types::byte_stream::ByteStream;
use doorbell::aws::AwsAccess;
use serde_json::Value;

use super::{SecretArn, SecretError};

/// Bound of one try: a request that got lost is sent again before the whole time is over.
const TRY: Duration = Duration::from_millis(1500);
/// What may pass is tried so often.
const TRIES: u32 = 3;
/// Before the second try; twice that before the third.
const PAUSE: Duration = Duration::from_millis(100);

/// Headers of the request, which are signed.
const HEADERS: [(&str, &str); 2] =
    [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.GetSecretValue")];

type Failure = Box<dyn Error + Send + Sync>;

/// Asks for one secret.
#[derive(Debug)]
pub(super) struct Question {
    access: AwsAccess,
    connector: Connector,
    arn: SecretArn,
    url: String,
}

/// The secret as it is now.
pub(super) struct Answer {
    /// `None`: it is bytes.
    pub(super) text: Option<String>,
    /// Which version, for the log.
    pub(super) version: Option<String>,
}

impl Question {
    /// About the secret of this name, where its name says it is, or at `endpoint_url`.
    pub(super) fn new(access: &AwsAccess, endpoint_url: Option<&str>, arn: SecretArn) -> Self {
        let url =
            endpoint_url.map_or_else(|| arn.endpoint(), |url| url.trim_end_matches('/').to_owned() + "/");
        Self { connector: access.connector(), access: access.clone(), arn, url }
    }

    /// The secret's name.
    pub(super) fn arn(&self) -> &str {
        self.arn.as_str()
    }

    /// Asks, and again where that may help. Not bounded as a whole.
    pub(super) async fn ask(&self) -> Result<Answer, SecretError> {
        let mut tried = 1;
        loop {
            let answer = tokio::time::timeout(TRY, self.try_once()).await;
            let answer = answer
                .unwrap_or_else(|_| Err(SecretError::TimedOut { arn: self.arn().to_owned(), after: TRY }));
            match answer {
                Err(error) if tried < TRIES && may_pass(&error) => {
                    tokio::time::sleep(PAUSE * tried).await;
                    tried += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn try_once(&self) -> Result<Answer, SecretError> {
        let arn = || self.arn().to_owned();
        let unreachable =
            |source: Failure| SecretError::Unreachable { arn: arn(), source: Arc::from(source) };
        let request = self.request(SystemTime::now()).map_err(unreachable)?;
        let response = self.connector.call(request).await.map_err(|error| unreachable(error.into()))?;
        let status = response.status();
        let body = ByteStream::new(response.into_body()).collect().await;
        let body = body.map_err(|error| unreachable(error.into()))?.into_bytes();
        // The error of reading it would quote it.
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            let code = code(&answer).map_or_else(|| format!("HTTP {}", status.as_u16()), str::to_owned);
            return Err(SecretError::Refused { arn: arn(), code, status: status.as_u16() });
        }
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        if answer["ARN"].is_string() {
            Ok(Answer { text: text("SecretString"), version: text("VersionId") })
        } else {
            // A success that is none, as from a proxy that wants somebody to log in.
            Err(SecretError::Unreadable { arn: arn() })
        }
    }

    fn request(&self, now: SystemTime) -> Result<HttpRequest, Failure> {
        let body = serde_json::json!({ "SecretId": self.arn() }).to_string();
        let identity = self.access.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.arn.region())
            .name("secretsmanager")
            .time(now)
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableRequest::new(
            "POST",
            &self.url,
            HEADERS.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = HttpRequest::new(body.into());
        request.set_method("POST")?;
        request.set_uri(self.url.as_str())?;
        let signed = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let plain = HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (name, value) in plain.into_iter().chain(signed) {
            request.headers_mut().try_insert(name, value)?;
        }
        Ok(request)
    }
}

/// The name of an error, out of `namespace#Name` where there is one. Anything that is no name is not quoted.
fn code(answer: &Value) -> Option<&str> {
    let code = answer["__type"].as_str().or_else(|| answer["code"].as_str())?;
    let code = code.rsplit('#').next()?.split(':').next()?;
    let is_name = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then_some(code)
}

/// Whether the same question may soon have another answer.
fn may_pass(error: &SecretError) -> bool {
    match error {
        SecretError::Refused { status, code, .. } => {
            *status >= 500
                || *status == 429
                || code.starts_with("Throttl")
                || code.starts_with("TooManyRequests")
        }
        SecretError::Unreachable { .. } | SecretError::TimedOut { .. } => true,
        SecretError::Unreadable { .. } | SecretError::Unfit { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::Credentials;

    use super::*;

    /// What botocore 1.43.127 sends, but for what it says of itself.
    #[test]
    fn a_question_is_signed_as_botocore_signs_it() {
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            Some("session".into()),
            None,
            "test",
        );
        let access = AwsAccess::new("us-east-1", credentials, None).unwrap();
        let arn =
            SecretArn::parse("arn:aws:secretsmanager:eu-west-1:111122223333:secret:sendonce/sweep").unwrap();
        let question = Question::new(&access, None, arn);
        let request = question.request(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_494_659)).unwrap();
        assert_eq!(request.uri(), "https://secretsmanager.eu-west-1.amazonaws.com/");
        assert_eq!(
            request.body().bytes().unwrap(),
            br#"{"SecretId":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:sendonce/sweep"}"#
        );
        let header = |name| request.headers().get(name).unwrap();
        assert_eq!(header("x-amz-date"), "20261124T043059Z");
        assert_eq!(header("x-amz-security-token"), "session");
        assert_eq!(
            header("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/eu-west-1/secretsmanager/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature=e38fef2b0580c6864e690ea7cd3b5047e3c8fabbf1665144a8c55780d283ac16"
        );
        let shown = format!("{question:?}");
        assert!(!shown.contains("wJalr"), "{shown}");
    }

    #[test]
    fn the_service_is_where_the_name_says() {
        for (partition, region, host) in [
            ("aws", "eu-west-1", "secretsmanager.eu-west-1.amazonaws.com"),
            ("aws-us-gov", "us-gov-west-1", "secretsmanager.us-gov-west-1.amazonaws.com"),
            ("aws-cn", "cn-north-1", "secretsmanager.cn-north-1.amazonaws.com.cn"),
            ("aws-eusc", "eusc-de-east-1", "secretsmanager.eusc-de-east-1.amazonaws.eu"),
        ] {
            let arn =
                SecretArn::parse(&format!("arn:{partition}:secretsmanager:{region}:1:secret:x")).unwrap();
            assert_eq!(arn.endpoint(), format!("https://{host}/"));
        }
    }

    #[test]
    fn the_name_of_an_error_is_one_word() {
        for (answer, name) in [
            (r#"{"__type":"ResourceNotFoundException"}"#, Some("ResourceNotFoundException")),
            (r#"{"__type":"com.amazonaws.secretsmanager#DecryptionFailure"}"#, Some("DecryptionFailure")),
            (r#"{"__type":"InternalFailure:http://internal.amazon.com"}"#, Some("InternalFailure")),
            (r#"{"__type":"hunter 2"}"#, None),
            (r#"{"__type":""}"#, None),
            ("{}", None),
        ] {
            assert_eq!(code(&serde_json::from_str(answer).unwrap()), name, "{answer}");
        }
    }
}
