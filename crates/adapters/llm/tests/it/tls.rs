//! Certificates of the server.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use kubewise_core::Failure;
use kubewise_llm::{Options, Provider};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{KEY, ask, prompt};

/// Makes an authority, whose certificate is written to `file`, and a server that it vouches for.
fn pki(file: &Path) -> Arc<ServerConfig> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new([]).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(file, authority.self_signed(&authority_key).expect("self-signed").pem()).expect("written");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).expect("signed");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let builder = ServerConfig::builder().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![leaf.der().clone()], key).expect("a usable pair"))
}

/// Answers one encrypted request. Returns the URL.
fn encrypted(config: Arc<ServerConfig>) -> String {
    const BODY: &str = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        let connection = ServerConnection::new(config).expect("a usable configuration");
        let mut stream = StreamOwned::new(connection, listener.accept().expect("a client").0);
        let (mut request, mut part) = (Vec::new(), [0; 4096]);
        // The last word of the request. A client that does not trust the certificate goes before it.
        while !request.windows(6).any(|window| window == b"strict") {
            match stream.read(&mut part) {
                Ok(length) if length > 0 => request.extend_from_slice(&part[..length]),
                _ => return,
            }
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{BODY}", BODY.len());
        let _ = stream.flush();
        let _ = stream.read(&mut part);
    });
    // By name, since the certificate is made out to it.
    format!("https://localhost:{port}")
}

#[tokio::test]
async fn the_server_must_be_trusted() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    let config = pki(&file);
    let options = |ca_file| Options {
        provider: Provider::OpenAi,
        model: Some("a-model".into()),
        endpoint: Some(encrypted(config.clone())),
        api_key: Some(KEY.into()),
        ca_file,
        ..Options::default()
    };
    let failure = ask(&options(None), &prompt()).await.expect_err("a foreign authority");
    assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
    assert!(failure.message().contains("certificate"), "{failure}");
    assert_eq!(ask(&options(Some(file)), &prompt()).await.expect("our authority").text, "a");
}
