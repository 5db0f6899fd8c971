//! Certificates for tests of TLS: PEM files below a folder of their own, for as long as they are needed.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};

/// What the certificate of the server is for, besides 127.0.0.1.
pub const SERVER_NAME: &str = "broker.test";

/// An authority, and what it has signed for a server and for a client.
pub struct Certificates {
    folder: PathBuf,
    pub authority: PathBuf,
    pub server: Signed,
    pub client: Signed,
}

/// A certificate and its private key.
pub struct Signed {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificates {
    /// `test` is the name of the authority, and tells its folder from others of the process.
    pub fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("coffee-tls-{}-{test}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, test);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = folder.join("ca.pem");
        fs::write(&authority, issuer.pem()).unwrap();
        let server = sign(&issuer, &folder, "server", &[SERVER_NAME, "127.0.0.1"]);
        let client = sign(&issuer, &folder, "client", &["client.test"]);
        Self { folder, authority, server, client }
    }

    /// A file that is not there.
    pub fn missing(&self) -> PathBuf {
        self.folder.join("missing")
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn sign(issuer: &Issuer<'_, KeyPair>, folder: &Path, file: &str, names: &[&str]) -> Signed {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    // One with the authority's own name would be taken for self-signed.
    params.distinguished_name.push(DnType::CommonName, file);
    let certificate = params.signed_by(&key, issuer).unwrap();
    let signed = Signed { certificate: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}.key")) };
    fs::write(&signed.certificate, certificate.pem()).unwrap();
    fs::write(&signed.key, key.serialize_pem()).unwrap();
    signed
}
