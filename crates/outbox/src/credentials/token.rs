//! Tokens of RDS: a signed request to connect, which the server takes for a password during a quarter of an hour.
//!
//! Nobody is asked for one. It is an address with a signature, made of the credentials that the process has anyway, and
//! making it takes less than the connection's first packet; so there is one for every connect and none is kept.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use doorbell::aws::AwsAccess;
use url::Url;

use super::CannotSign;
use crate::store::{DatabaseConfig, Login, LoginSource, NoLogin, Pending};

/// How long RDS takes a token, counted from its making. A connection that is open stays open.
const GOOD_FOR: Duration = Duration::from_mins(15);

const SCHEME: &str = "https://";

/// Makes tokens for one user of one database.
#[derive(Debug)]
pub struct Tokens {
    access: AwsAccess,
    host: String,
    port: u16,
    user: String,
}

impl Tokens {
    /// For the user of this address, signed with these credentials.
    #[must_use]
    pub fn new(access: AwsAccess, address: &DatabaseConfig) -> Self {
        Self {
            access,
            host: address.host().to_owned(),
            port: address.port(),
            user: address.user().to_owned(),
        }
    }

    /// A token that counts from `now`.
    ///
    /// # Errors
    ///
    /// [`CannotSign`] when the address is not one.
    pub fn token(&self, now: SystemTime) -> Result<String, CannotSign> {
        self.sign(now).map_err(|source| CannotSign { host: self.host.clone(), source })
    }

    fn sign(&self, now: SystemTime) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let (host, port) = (&self.host, self.port);
        // An IPv6 address stands in brackets here. RDS has names, whose tokens are for these names alone.
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let mut url = Url::parse(&format!("{SCHEME}{host}:{port}/"))?;
        url.query_pairs_mut().append_pair("Action", "connect").append_pair("DBUser", &self.user);
        // RDS reads a plus sign as one.
        let plain = url.as_str().replace('+', "%20");

        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(GOOD_FOR);
        let identity = self.access.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.access.region)
            .name("rds-db")
            .time(now)
            .settings(settings)
            .build()?
            .into();
        let request =
            SignableRequest::new("GET", plain.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let (_, signed) = instructions.into_parts();
        let mut url = Url::parse(&plain)?;
        url.query_pairs_mut().extend_pairs(signed);
        Ok(url.as_str().trim_start_matches(SCHEME).to_owned())
    }
}

impl LoginSource for Tokens {
    fn login(&self, _: Instant) -> Pending<'_, Result<Arc<Login>, NoLogin>> {
        let login = self.token(SystemTime::now()).map_err(NoLogin::because);
        let login = login.map(|password| Arc::new(Login { user: self.user.clone(), password }));
        Box::pin(std::future::ready(login))
    }

    /// A token that was just made is refused for what another one would be refused for.
    fn instead_of<'a>(
        &'a self,
        _: &'a Login,
        _: Instant,
    ) -> Pending<'a, Result<Option<Arc<Login>>, NoLogin>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use aws_credential_types::Credentials;

    use super::*;
    use crate::store::{Carries, Tls};

    const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn tokens(url: &str, session: Option<&str>) -> Tokens {
        let credentials =
            Credentials::new("AKIDEXAMPLE", SECRET_KEY, session.map(str::to_owned), None, "test");
        let access = AwsAccess::new("eu-west-1", credentials, None).unwrap();
        Tokens::new(access, &DatabaseConfig::parse_carrying(url, Carries::User, Tls::Off).unwrap())
    }

    /// What stands before the `?`, and the parameters in whatever order.
    fn parts(token: &str) -> (&str, Vec<&str>) {
        let (host, query) = token.split_once('?').unwrap();
        let mut query: Vec<_> = query.split('&').collect();
        query.sort_unstable();
        (host, query)
    }

    /// What `generate_db_auth_token` of botocore 1.43.127 makes of the same, at 2026-11-24T04:30:59Z.
    #[test]
    fn a_token_is_the_one_that_botocore_makes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_494_659);
        for (url, session, expected) in [
            (
                "mysql://sendonce_dispatch_sqs@shop.cluster-c0ffee.eu-west-1.rds.amazonaws.com/shop",
                None,
                "shop.cluster-c0ffee.eu-west-1.rds.amazonaws.com:3306/?Action=connect&DBUser=sendonce_dispatch_sqs\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential=AKIDEXAMPLE%2F20261124%2Feu-west-1%2Frds-db%2Faws4_request\
                 &X-Amz-Date=20261124T043059Z&X-Amz-SignedHeaders=host&X-Amz-Expires=900\
                 &X-Amz-Signature=4e011521f17cb6a59cfdf818e36c3595007628d0c78c9e4e2829e25ec79ec350",
            ),
            (
                "mysql://sendonce%20sweep+1@shop.cluster-c0ffee.eu-west-1.rds.amazonaws.com/shop",
                Some("IQoJb3JpZ2luX2VjE+a/b=="),
                "shop.cluster-c0ffee.eu-west-1.rds.amazonaws.com:3306/?Action=connect&DBUser=sendonce%20sweep%2B1\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential=AKIDEXAMPLE%2F20261124%2Feu-west-1%2Frds-db%2Faws4_request\
                 &X-Amz-Date=20261124T043059Z&X-Amz-SignedHeaders=host&X-Amz-Expires=900\
                 &X-Amz-Security-Token=IQoJb3JpZ2luX2VjE%2Ba%2Fb%3D%3D\
                 &X-Amz-Signature=6a78790d10ffa1d3b8619d1989f131f89213ae583cc9a0975a61dd85bd804879",
            ),
        ] {
            let token = tokens(url, session).token(now).unwrap();
            assert_eq!(parts(&token), parts(expected));
        }
    }

    #[tokio::test]
    async fn every_login_has_a_token_of_its_own_and_shows_nothing() {
        let tokens = tokens("mysql://mail@[::1]:3307/shop", Some("session-marker"));
        let login = tokens.login(Instant::now()).await.unwrap();
        assert_eq!(login.user, "mail");
        assert!(login.password.starts_with("[::1]:3307/?Action=connect&DBUser=mail&"), "{}", login.password);
        assert!(tokens.instead_of(&login, Instant::now()).await.unwrap().is_none());
        let shown = format!("{tokens:?} {login:?}");
        assert!(!shown.contains(SECRET_KEY) && !shown.contains("session-marker"), "{shown}");
    }

    /// The figure in docs/decisions/0014-database-credentials.md; run it with `--ignored --nocapture`, in release.
    #[test]
    #[ignore = "a measurement, which asserts nothing"]
    fn how_long_a_token_takes() {
        let tokens = tokens("mysql://mail@shop.cluster-c0ffee.eu-west-1.rds.amazonaws.com/shop", None);
        let (began, count) = (Instant::now(), 10_000);
        for _ in 0..count {
            std::hint::black_box(tokens.token(SystemTime::now()).unwrap());
        }
        println!("{:?} a token", began.elapsed() / count);
    }
}
