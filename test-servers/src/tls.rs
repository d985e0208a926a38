//! Certificates, good ones and bad ones.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use tempfile::TempDir;

use crate::Error;

/// A certificate authority made for one test, with what it has signed, as PEM files in a temporary folder.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), test_servers::Error> {
/// use test_servers::{Certificates, Demand, NatsServer};
///
/// let made = Certificates::new()?;
/// let server = NatsServer::builder().config(&made.config(&made.server, Demand::Certificate)).start().await?;
/// println!("{} trusts {}", server.url(), made.client.certificate.display());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Certificates {
    _folder: TempDir,
    /// The authority that clients and servers should trust.
    pub ca: PathBuf,
    /// Another one, which has signed [`stranger`](Self::stranger) only.
    pub other_ca: PathBuf,
    /// A server on this machine: `localhost` and `127.0.0.1`.
    pub server: Identity,
    /// The same, until the year 2001.
    pub expired_server: Identity,
    /// A server on another machine: `elsewhere.example`.
    pub server_elsewhere: Identity,
    /// A client, which [`Demand::User`] knows as the user [`USER`](Self::USER).
    pub client: Identity,
    /// The same, until the year 2001.
    pub expired_client: Identity,
    /// The same, signed by the other authority.
    pub stranger: Identity,
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// What a server wants from its clients beside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// A certificate that [`Certificates::ca`] has signed.
    Certificate,
    /// One that names a user the server knows: [`Certificates::USER`].
    User,
}

impl Certificates {
    /// The user that the clients' certificates name.
    pub const USER: &'static str = "bank@clients.example";

    /// Makes them.
    ///
    /// # Errors
    ///
    /// The files can't be written.
    pub fn new() -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("certificates-").tempdir();
        let folder = folder.map_err(Error::io("create a temporary folder"))?;
        let at = folder.path();
        let (ca, other) = (authority("Test CA")?, authority("Another CA")?);
        let here = || vec![name("localhost"), SanType::IpAddress([127, 0, 0, 1].into())];
        let user = || vec![SanType::Rfc822Name(Self::USER.try_into().expect("it is ASCII"))];
        let made = Self {
            ca: write(at, "ca.pem", &ca.pem())?,
            other_ca: write(at, "other-ca.pem", &other.pem())?,
            server: identity(at, "server", &ca, here(), false)?,
            expired_server: identity(at, "expired-server", &ca, here(), true)?,
            server_elsewhere: identity(at, "server-elsewhere", &ca, vec![name("elsewhere.example")], false)?,
            client: identity(at, "client", &ca, user(), false)?,
            expired_client: identity(at, "expired-client", &ca, user(), true)?,
            stranger: identity(at, "stranger", &other, user(), false)?,
            _folder: folder,
        };
        Ok(made)
    }

    /// The lines that let a server show this identity and demand that of its clients.
    #[must_use]
    pub fn config(&self, server: &Identity, demand: Demand) -> String {
        let verify = match demand {
            Demand::Nothing => "verify: false",
            Demand::Certificate => "verify: true",
            Demand::User => "verify_and_map: true",
        };
        let users = match demand {
            Demand::User => format!("authorization {{ users: [ {{ user: {:?} }} ] }}\n", Self::USER),
            Demand::Nothing | Demand::Certificate => String::new(),
        };
        let Identity { certificate, key } = server;
        let (certificate, key, ca) = (certificate.display(), key.display(), self.ca.display());
        format!(
            "tls {{\ncert_file: \"{certificate}\"\nkey_file: \"{key}\"\nca_file: \"{ca}\"\n{verify}\ntimeout: 10\n}}\n{users}"
        )
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Result<Authority, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = called(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, key()?).map_err(failed)
}

fn identity(at: &Path, file: &str, by: &Authority, names: Vec<SanType>, expired: bool) -> Result<Identity, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = called(file);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    if expired {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    }
    let key = key()?;
    let certificate = params.signed_by(&key, by).map_err(failed)?;
    Ok(Identity {
        certificate: write(at, &format!("{file}.pem"), &certificate.pem())?,
        key: write(at, &format!("{file}.key"), &key.serialize_pem())?,
    })
}

fn key() -> Result<KeyPair, Error> {
    KeyPair::generate().map_err(failed)
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn name(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("it is ASCII"))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Error> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(Error::io(format!("write {name}")))?;
    Ok(path)
}

fn failed(error: rcgen::Error) -> Error {
    Error::io("make a certificate")(std::io::Error::other(error))
}
