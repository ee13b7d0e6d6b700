//! Cases of TLS: the versions, certificates of clients, and files that change.

use crate::client::{Answer, get, request};
use crate::fake::Fake;
use adapter_http::{
    Access, Clients, Credential, Limits, Pages, Proof, Reloaded, Role, Serving, Tls, TlsFiles, serve_all,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// An authority, in PEM.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { params, key, pem }
    }

    /// Signs a certificate for these hosts, of a subject with that name if it is not empty.
    fn sign(&self, hosts: &[&str], name: &str) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("hosts");
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).expect("signed");
        Identity { certificate: signed.pem(), key: key.serialize_pem() }
    }
}

/// The files of a server in a directory.
struct Files {
    directory: TempDir,
    client_ca: bool,
}

impl Files {
    fn new(identity: &Identity, client_ca: Option<&Authority>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Self { directory, client_ca: client_ca.is_some() };
        files.write(identity);
        if let Some(authority) = client_ca {
            fs::write(files.path("clients"), &authority.pem).expect("written");
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, identity: &Identity) {
        fs::write(self.path("certificate"), &identity.certificate).expect("written");
        fs::write(self.path("key"), &identity.key).expect("written");
        fs::set_permissions(self.path("key"), Permissions::from_mode(0o600)).expect("allowed");
    }

    fn names(&self) -> TlsFiles {
        let client_ca = self.client_ca.then(|| self.path("clients"));
        TlsFiles { certificate: self.path("certificate"), key: self.path("key"), client_ca }
    }

    #[track_caller]
    fn load(&self) -> Arc<Tls> {
        Arc::new(Tls::load(self.names()).expect("sound files"))
    }
}

struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(tls: Arc<Tls>, limits: Limits) -> Served {
    serve_with(tls, limits, "127.0.0.1:0", Fake::default()).await
}

async fn serve_with(tls: Arc<Tls>, limits: Limits, listen: &str, backend: Fake) -> Served {
    let listener = TcpListener::bind(listen).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let clients = if tls.verifies_clients() { Clients::WithCertificate } else { Clients::All };
    let pages = Pages { clients, ..Pages::default() };
    let serving = Serving { limits, pages, tls: Some(tls) };
    let backend = Arc::new(backend);
    let task = tokio::spawn(serve_all(vec![listener], serving, backend, std::future::pending::<()>()));
    Served { address, task }
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// A client that trusts `authority`.
fn client(
    authority: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![certificate], key).expect("they fit")
        }
    }
}

/// The answer, or why there is none.
async fn ask(served: &Served, client: ClientConfig, request: &str) -> Result<Answer, String> {
    let stream = TcpStream::connect(served.address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    Ok(Answer::parse(&String::from_utf8(bytes).expect("text")))
}

#[tokio::test]
async fn both_versions_are_served_and_plain_http_is_not() {
    let authority = Authority::new();
    let files = Files::new(&authority.sign(&["localhost"], "desk-1"), None);
    let served = serve(files.load(), Limits::default()).await;
    for version in [&TLS12, &TLS13] {
        let answer = ask(&served, client(&authority, None, &[version]), &get("/livez")).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }
    // A page of our own, and one that only looks like it.
    let own = request("POST", "/signals", &[("Origin", "https://localhost"), ("Content-Length", "0")]);
    assert_eq!(ask(&served, client(&authority, None, BOTH), &own).await.expect("an answer").status, 400);
    let other = request("POST", "/signals", &[("Origin", "http://localhost"), ("Content-Length", "0")]);
    assert_eq!(ask(&served, client(&authority, None, BOTH), &other).await.expect("an answer").status, 403);
    let mut plain = TcpStream::connect(served.address).await.expect("it listens");
    plain.write_all(get("/livez").as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes).await;
    assert!(!bytes.starts_with(b"HTTP/"), "{bytes:?}");
    let wrong = ask(&served, client(&Authority::new(), None, BOTH), &get("/livez")).await;
    assert!(wrong.is_err(), "the client does not know the authority");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut() {
    let files = Files::new(&Authority::new().sign(&["localhost"], "desk-1"), None);
    let limits = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let served = serve(files.load(), limits).await;
    let mut silent = TcpStream::connect(served.address).await.expect("it listens");
    // It ends only because the server closes.
    let _ = silent.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_authority_are_answered() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.sign(&["localhost"], "desk-1"), Some(&clients));
    let served = serve(files.load(), Limits::default()).await;
    for identity in [clients.sign(&["desk.example"], "desk-a"), clients.sign(&["desk.example"], "")] {
        let own = client(&authority, Some(&identity), BOTH);
        assert_eq!(ask(&served, own, &get("/status")).await.expect("an answer").status, 200);
    }
    let without = || client(&authority, None, BOTH);
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/leader", 503)] {
        assert_eq!(ask(&served, without(), &get(path)).await.expect("an answer").status, status, "{path}");
    }
    for path in ["/status", "/metrics", "/", "/signals", "/livez/"] {
        let answer = ask(&served, without(), &get(path)).await.expect("an answer");
        let detail = answer.problem(403)["detail"].clone();
        assert!(detail.as_str().is_some_and(|text| text.contains("tls.client_ca")), "{path}: {detail}");
    }
    // Actions of operators need a role, and only the tokens file has roles.
    let desk = clients.sign(&["desk.example"], "desk-a");
    let step_down = request("POST", "/leadership/step-down", &[("Content-Length", "0")]);
    let refused = ask(&served, client(&authority, Some(&desk), BOTH), &step_down).await.expect("an answer");
    let detail = refused.problem(403)["detail"].clone();
    assert!(detail.as_str().is_some_and(|text| text.contains("access.tokens_file")), "{detail}");
    // Of the wrong authority.
    let identity = authority.sign(&["desk.example"], "desk-a");
    let wrong = ask(&served, client(&authority, Some(&identity), BOTH), &get("/livez")).await;
    assert!(wrong.is_err(), "{wrong:?}");
}

/// On IPv6, whose addresses in `Host` have brackets.
#[tokio::test]
async fn a_certificate_has_the_roles_of_its_name_and_a_token_needs_no_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.sign(&["localhost"], "desk-1"), Some(&clients));
    let token = crate::access::token();
    let desk = Credential {
        proof: Proof::Certificate("desk-a".to_owned()),
        ..crate::access::credential("desk", &[Role::Submit], &token)
    };
    let reader = crate::access::credential("reader", &[Role::Read], &token);
    let access = Some(Arc::new(Access::new(vec![desk, reader])));
    let backend = Fake { access, ..Fake::default() };
    let served = serve_with(files.load(), Limits::default(), "[::1]:0", backend).await;
    let host = format!("[::1]:{}", served.address.port());
    let with = async |name: Option<&str>, method: &str, path: &str, bearer: Option<&str>| {
        let identity = name.map(|name| clients.sign(&["desk.example"], name));
        let host = ("Host", host.as_str());
        let headers: Vec<_> =
            [host].into_iter().chain(bearer.map(|value| ("Authorization", value))).collect();
        let request = request(method, path, &headers).replacen("Host: localhost\r\n", "", 1);
        ask(&served, client(&authority, identity.as_ref(), BOTH), &request).await.expect("an answer").status
    };
    assert_eq!(with(Some("desk-a"), "POST", "/signals", None).await, 400, "it may submit, and sent nothing");
    assert_eq!(with(Some("desk-a"), "GET", "/status", None).await, 403, "it may not read");
    assert_eq!(with(Some("desk-b"), "GET", "/status", None).await, 401, "its name is not in the file");
    assert_eq!(with(None, "GET", "/status", None).await, 401);
    let bearer = crate::access::bearer(&token);
    assert_eq!(with(None, "GET", "/status", Some(&bearer)).await, 200);
    assert_eq!(with(None, "GET", "/livez", None).await, 200);
}

#[tokio::test]
async fn new_files_are_used_and_broken_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let first = old.sign(&["localhost"], "desk-1");
    let files = Files::new(&first, None);
    let tls = files.load();
    let served = serve(Arc::clone(&tls), Limits::default()).await;
    let trusts = async |authority: &Authority| {
        ask(&served, client(authority, None, BOTH), &get("/livez")).await.is_ok()
    };
    assert_eq!(tls.reload_if_changed(), Reloaded::Same);
    assert!(trusts(&old).await);
    let second = new.sign(&["localhost"], "desk-1");
    fs::write(files.path("certificate"), &second.certificate).expect("written");
    let Reloaded::Kept(why) = tls.reload_if_changed() else { panic!("the key is of the other certificate") };
    assert!(why.contains("tls.key does not fit"), "{why}");
    assert_eq!(tls.reload_if_changed(), Reloaded::Same, "reported once");
    assert!(trusts(&old).await);
    files.write(&second);
    assert_eq!(tls.reload_if_changed(), Reloaded::New);
    assert!(trusts(&new).await && !trusts(&old).await);
    fs::remove_file(files.path("key")).expect("removed");
    assert!(matches!(tls.reload(), Reloaded::Kept(why) if why.contains("cannot be read")));
    assert!(trusts(&new).await);
}

#[test]
fn files_that_cannot_be_used_are_refused_with_the_reason_and_without_their_content() {
    let authority = Authority::new();
    let identity = authority.sign(&["localhost"], "desk-1");
    let refused = |change: &dyn Fn(&Files)| {
        let files = Files::new(&identity, Some(&authority));
        change(&files);
        let why = Tls::load(files.names()).expect_err("refused");
        assert!(!why.contains("BEGIN") && !why.contains('\n'), "{why}");
        why
    };
    let open = refused(&|files| {
        fs::set_permissions(files.path("key"), Permissions::from_mode(0o640)).expect("allowed");
    });
    assert!(open.contains("tls.key") && open.contains("mode 640") && open.contains("chmod 600"), "{open}");
    for (file, text, why) in [
        ("certificate", "", "contains no certificate"),
        ("certificate", identity.key.as_str(), "contains no certificate"),
        ("key", identity.certificate.as_str(), "contains no private key"),
        ("key", "canary", "contains no private key"),
        ("clients", "canary", "contains no certificate"),
    ] {
        let refusal = refused(&|files| fs::write(files.path(file), text).expect("written"));
        assert!(refusal.contains(why) && !refusal.contains("canary"), "{file}: {refusal}");
    }
    let missing = refused(&|files| fs::remove_file(files.path("clients")).expect("removed"));
    assert!(missing.contains("tls.client_ca") && missing.contains("cannot be read"), "{missing}");
}

#[test]
fn the_hosts_and_the_end_of_a_certificate_are_known() {
    let files =
        Files::new(&Authority::new().sign(&["desk-1.example", "*.lan", "10.0.0.7", "::1"], "x"), None);
    let tls = files.load();
    for host in ["desk-1.example", "DESK-1.example", "a.lan", "10.0.0.7", "::1"] {
        assert!(tls.is_valid_for(host), "{host}");
    }
    for host in ["desk-2.example", "a.b.lan", "lan", "10.0.0.8", "x"] {
        assert!(!tls.is_valid_for(host), "{host}");
    }
    // rcgen's default end, 4096-01-01.
    assert_eq!(tls.expires_s(), 67_090_118_400);
}
