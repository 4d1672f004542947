//! Certificates of one cluster, and the kubeconfigs that use them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// The first address of the Service range: `kubernetes.default.svc`.
pub(crate) const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

pub(crate) struct Pki<'a> {
    directory: &'a Path,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl<'a> Pki<'a> {
    /// Writes `ca.crt` and the key pair that signs service-account tokens.
    pub(crate) fn create(directory: &'a Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "kubewise-testbed");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(directory.join("ca.crt"), authority.pem())?;

        let tokens = KeyPair::generate()?;
        fs::write(directory.join("tokens.key"), tokens.serialize_pem())?;
        fs::write(directory.join("tokens.pub"), tokens.public_key_pem())?;
        Ok(Self { directory, authority })
    }

    /// Writes `FILE.crt` and `FILE.key`, good for both ends of a connection.
    pub(crate) fn issue(
        &self,
        file: &str,
        name: &str,
        organization: &str,
        addresses: &[String],
    ) -> Result<()> {
        let mut params = CertificateParams::new(addresses)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        // Some clients, Python's among them, insist on it.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.authority)?;
        fs::write(self.directory.join(format!("{file}.crt")), certificate.pem())?;
        fs::write(self.directory.join(format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// Writes `FILE.kubeconfig` for the certificate of that name.
    pub(crate) fn kubeconfig(&self, file: &str, server: Ipv4Addr) -> Result<PathBuf> {
        let directory = self.directory.display();
        let path = self.directory.join(format!("{file}.kubeconfig"));
        let text = format!(
            "apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster: {{server: 'https://{server}:443', certificate-authority: {directory}/ca.crt}}
users:
- name: {file}
  user: {{client-certificate: {directory}/{file}.crt, client-key: {directory}/{file}.key}}
contexts:
- name: testbed
  context: {{cluster: testbed, user: {file}}}
current-context: testbed
"
        );
        fs::write(&path, text)?;
        Ok(path)
    }
}
