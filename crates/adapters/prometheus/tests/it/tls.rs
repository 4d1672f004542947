//! Certificates of the server and of the client.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use kubewise_core::port::MetricSource as _;
use kubewise_core::{Failure, Timestamp};
use kubewise_prometheus::Options;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

use crate::{at, query, server, source};

/// An authority, and a certificate of it for `localhost` that serves both sides.
struct Pki {
    directory: TempDir,
    server: Arc<ServerConfig>,
}

impl Pki {
    fn new(ask_client: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::new([]).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key).expect("self-signed");
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        let leaf = leaf.signed_by(&key, &issuer).expect("signed");

        let directory = tempfile::tempdir().expect("a directory");
        let files =
            [("ca", authority_certificate.pem()), ("certificate", leaf.pem()), ("key", key.serialize_pem())];
        for (name, pem) in files {
            fs::write(directory.path().join(name), pem).expect("written");
        }
        let builder = ServerConfig::builder();
        let builder = if ask_client {
            let mut roots = RootCertStore::empty();
            roots.add(authority_certificate.der().clone()).expect("a certificate");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let server = builder.with_single_cert(vec![leaf.der().clone()], key).expect("a usable pair");
        Pki { directory, server: Arc::new(server) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Asks once with `options`, towards the server.
    async fn ask(&self, options: Options) -> Result<(), Failure> {
        let source =
            source(Options { url: server::encrypted(self.server.clone()), ..options }).expect("usable");
        source.sample(&query("up", "count"), Timestamp::now()).await.map(drop)
    }
}

#[tokio::test]
async fn the_server_must_be_trusted() {
    let pki = Pki::new(false);
    let failure = pki.ask(at("")).await.expect_err("a foreign authority");
    assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
    assert!(failure.message().contains("certificate"), "{failure}");
    pki.ask(Options { ca_file: Some(pki.file("ca")), ..at("") }).await.expect("our authority");
    pki.ask(Options { insecure_skip_verify: true, ..at("") }).await.expect("anybody");
}

#[tokio::test]
async fn the_client_shows_its_certificate() {
    let pki = Pki::new(true);
    let trusting = || Options { ca_file: Some(pki.file("ca")), ..at("") };
    let failure = pki.ask(trusting()).await.expect_err("no certificate");
    assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
    let known = Options {
        client_certificate_file: Some(pki.file("certificate")),
        client_key_file: Some(pki.file("key")),
        ..trusting()
    };
    pki.ask(known).await.expect("known");
}
