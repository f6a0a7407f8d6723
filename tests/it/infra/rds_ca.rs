//! The certificates that a function trusts a database of RDS by.

use std::{collections::BTreeSet, fs};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use stack::install::workspace;

/// What a region's roots are called: `Amazon RDS REGION Root CA RSA2048 G1`.
const KEYS: [&str; 3] = ["ECC384", "RSA2048", "RSA4096"];

fn contains(certificate: &CertificateDer<'_>, text: &str) -> usize {
    certificate.windows(text.len()).filter(|bytes| *bytes == text.as_bytes()).count()
}

#[test]
fn each_region_has_its_three_roots_and_no_other() {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(workspace().join("infra/rds-ca/rds")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let region = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&path).expect("a file").collect();
        let found = found.expect("PEM");
        assert_eq!(found.len(), KEYS.len(), "{region}");
        for key in KEYS {
            let name = format!("Amazon RDS {region} Root CA {key} G1");
            // As issuer and as subject.
            assert!(found.iter().any(|certificate| contains(certificate, &name) == 2), "{name}");
        }
        for certificate in found {
            RootCertStore::empty().add(certificate.clone()).expect("rustls takes it for a root");
            assert!(all.insert(certificate.to_vec()), "{region} has a certificate of another region");
        }
    }
    assert!(all.len() >= 3 * 27, "{}", all.len());
}
