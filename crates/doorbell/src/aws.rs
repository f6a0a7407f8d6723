//! What every AWS client of sendonce shares: who calls, where, and the HTTP client underneath.
//!
//! The SDK's own default would bring a second TLS stack and read the system's certificate store file by file, 150 of
//! them. Here stand rustls with ring and a handful of root certificates, so that a client is ready in microseconds.
//!
//! The roots are the five of Amazon Trust Services (`aws/amazon-trust-services.pem`), which AWS asks its clients to
//! trust, and to which the certificates of its public endpoints lead. Embedded, they depend on no file of the machine;
//! they are good until 2037 and later. Where something else answers for AWS (a proxy that inspects TLS, a local stack, a
//! partition with other authorities), `AWS_CA_BUNDLE` names a PEM file that is trusted instead.

use std::{fmt, fs, io, path::Path, time::Duration};

use aws_credential_types::Credentials;
use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

const AMAZON_TRUST_SERVICES: &[u8] = include_bytes!("aws/amazon-trust-services.pem");

/// How long an idle connection is kept. Short, because a request written to a connection that died meanwhile (frozen
/// environment, forgetful NAT) ends as "cannot know", while a new connection costs a few milliseconds.
const IDLE: Duration = Duration::from_secs(20);

/// Who calls AWS, where, and whom to trust there.
#[derive(Debug, Clone)]
pub struct AwsAccess {
    /// `AWS_REGION`.
    pub region: String,
    /// Access key, secret and, on Lambda, session token. On Lambda they are good for the environment's whole life.
    pub credentials: Credentials,
    /// For every SDK client of this process; they share its connections. Speaks `http://` as well as `https://`.
    /// Connect time-outs are each SDK client's to set.
    pub http_client: SharedHttpClient,
    roots: Roots,
}

impl AwsAccess {
    /// Access with the certificates of `ca_bundle`, or with the embedded ones. Reads the file once.
    ///
    /// # Errors
    ///
    /// [`CaBundleError`] when the file cannot be read or holds no usable certificate.
    pub fn new(
        region: impl Into<String>,
        credentials: Credentials,
        ca_bundle: Option<&Path>,
    ) -> Result<Self, CaBundleError> {
        let roots = Roots::of(ca_bundle)?;
        Ok(Self { region: region.into(), credentials, http_client: client_of(&roots), roots })
    }

    /// One connector that trusts the same, for requests that no SDK makes.
    #[must_use]
    pub fn connector(&self) -> Connector {
        connector_of(&self.roots)
    }
}

/// The HTTP client alone, with the certificates of `ca_bundle` or the embedded ones, for whom credentials come from
/// elsewhere.
///
/// # Errors
///
/// As [`AwsAccess::new`].
pub fn http_client(ca_bundle: Option<&Path>) -> Result<SharedHttpClient, CaBundleError> {
    Ok(client_of(&Roots::of(ca_bundle)?))
}

/// One connector with the same certificates, for requests that no SDK makes.
pub(crate) fn connector(ca_bundle: Option<&Path>) -> Result<Connector, CaBundleError> {
    Ok(connector_of(&Roots::of(ca_bundle)?))
}

fn connector_of(roots: &Roots) -> Connector {
    let builder = Connector::builder().tls_provider(Provider::rustls(CryptoMode::Ring));
    builder.tls_context(roots.context()).build()
}

/// The file named by `AWS_CA_BUNDLE` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaBundleError {
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[from] io::Error),
    /// It is not PEM.
    #[error("is not a PEM file")]
    NotPem(#[source] rustls::pki_types::pem::Error),
    /// None of its certificates can be a root.
    #[error("holds no certificate that can be trusted as a root")]
    Empty,
}

/// Root certificates, each known to be one that rustls accepts: the SDK panics on any other.
#[derive(Clone)]
struct Roots(Vec<CertificateDer<'static>>);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

impl Roots {
    fn of(ca_bundle: Option<&Path>) -> Result<Self, CaBundleError> {
        match ca_bundle {
            Some(path) => Self::from_pem(&fs::read(path)?),
            None => Self::from_pem(AMAZON_TRUST_SERVICES),
        }
    }

    fn from_pem(pem: &[u8]) -> Result<Self, CaBundleError> {
        let mut roots = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(CaBundleError::NotPem)?;
            // A system's bundle may hold a few that are too old to be read; the others still count.
            if RootCertStore::empty().add(certificate.clone()).is_ok() {
                roots.push(certificate);
            }
        }
        if roots.is_empty() { Err(CaBundleError::Empty) } else { Ok(Self(roots)) }
    }

    fn context(&self) -> TlsContext {
        TlsContext::builder()
            .with_trust_store(self.trust_store())
            .build()
            .expect("a context of a trust store alone has nothing that could be wrong")
    }

    fn trust_store(&self) -> TrustStore {
        self.0.iter().fold(TrustStore::empty(), |store, certificate| {
            // The SDK takes PEM only.
            let body = STANDARD.encode(certificate);
            store.with_pem_certificate(format!(
                "-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
            ))
        })
    }
}

fn client_of(roots: &Roots) -> SharedHttpClient {
    Builder::new()
        .pool_idle_timeout(IDLE)
        .tls_provider(Provider::rustls(CryptoMode::Ring))
        .tls_context(roots.context())
        .build_https()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(content: &str) -> Result<AwsAccess, CaBundleError> {
        let path =
            std::env::temp_dir().join(format!("sendonce-ca-bundle-{}-{}", std::process::id(), content.len()));
        fs::write(&path, content).unwrap();
        let access = AwsAccess::new("eu-central-1", credentials(), Some(&path));
        fs::remove_file(&path).unwrap();
        access
    }

    fn credentials() -> Credentials {
        Credentials::new("AKIA", "hush", None, None, "test")
    }

    #[test]
    fn the_embedded_roots_are_the_five_of_amazon_trust_services() {
        assert_eq!(Roots::from_pem(AMAZON_TRUST_SERVICES).unwrap().0.len(), 5);
        AwsAccess::new("eu-central-1", credentials(), None).unwrap();
    }

    #[test]
    fn a_bundle_may_hold_text_and_one_certificate() {
        let all = std::str::from_utf8(AMAZON_TRUST_SERVICES).unwrap();
        let one: String = all.split_inclusive("-----END CERTIFICATE-----\n").take(1).collect();
        assert_eq!(Roots::from_pem(one.as_bytes()).unwrap().0.len(), 1);
        bundle(&one).unwrap();
    }

    #[test]
    fn an_unusable_bundle_is_an_error_and_not_a_panic() {
        assert!(matches!(bundle("no certificate here"), Err(CaBundleError::Empty)));
        let junk = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(bundle(junk), Err(CaBundleError::NotPem(_))));
        let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(bundle(not_a_certificate), Err(CaBundleError::Empty)));
        let missing = AwsAccess::new("eu-central-1", credentials(), Some(Path::new("/nonexistent")));
        assert!(matches!(missing, Err(CaBundleError::Read(_))));
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        let access = AwsAccess::new("eu-central-1", credentials(), None).unwrap();
        assert!(!format!("{access:?}").contains("hush"));
    }
}
