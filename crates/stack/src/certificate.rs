//! A certificate authority for one server, and the server's certificate.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::supervisor::ServerError;

/// The PEM files of one server.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes an authority and a server certificate for `localhost` and 127.0.0.1. The authority's key is not kept.
    pub(crate) fn make(folder: &Path) -> Result<Self, ServerError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "sendonce local authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        let server_pem = server.signed_by(&key, &issuer)?.pem();

        let write = |name: &str, text: String| {
            let path = folder.join(name);
            match fs::write(&path, text) {
                Ok(()) => Ok(path),
                Err(source) => Err(ServerError::File { action: "write", path, source }),
            }
        };
        Ok(Self {
            ca: write("ca.pem", ca_pem)?,
            certificate: write("server.pem", server_pem)?,
            key: write("server-key.pem", key.serialize_pem())?,
        })
    }
}
