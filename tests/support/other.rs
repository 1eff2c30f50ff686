//! Another real ACME authority, acme2certifier: in another language, by other people, for other users than Pebble.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::http;
use super::net::Port;
use super::process::Process;
use super::{Pki, SERVER_DEADLINE, Scratch, hex, server};

/// What it calls its only customer.
pub const KID: &str = "customer-7";
/// The key that they share.
pub const HMAC_KEY: &str = "h6Q4tS-NuXqvS_Pv0y5sQ1bQ9rC7h3Xw2Lq8m1oJ0aE";

/// A running acme2certifier, which demands external accounts; killed on drop.
#[derive(Debug)]
pub struct OtherAuthority {
    process: Process,
    port: Port,
    scratch: Scratch,
}

impl OtherAuthority {
    /// Starts one that validates http-01 at this address, whatever the name is.
    pub fn start(http01: SocketAddr) -> Self {
        let (scratch, port, pki) = (Scratch::new(), Port::reserve(), Pki::new());
        let endpoint = pki.leaf("localhost").names(&["localhost", "127.0.0.1"]).issue();
        scratch.write("root.pem", pki.root_pem());
        scratch.write("issuing.pem", &pki.intermediates()[0]);
        scratch.write("issuing.key", pki.issuer_key_pem());
        scratch.write("endpoint.pem", endpoint.fullchain());
        scratch.write("endpoint.key", endpoint.key_pem());
        scratch.dir("certs");
        scratch.write("eab.json", json!({ KID: HMAC_KEY }).to_string());
        let config = "[CAhandler]\nhandler_module: acme2certifier.cahandlers.openssl_ca_handler\n\
             issuing_ca_key: {dir}/issuing.key\nissuing_ca_cert: {dir}/issuing.pem\nissuing_ca_crl: {dir}/crl.pem\n\
             cert_save_path: {dir}/certs\ncert_validity_days: 30\n\
             [DBhandler]\nhandler: wsgi\ndbfile: {dir}/acme.db\n\
             [EABhandler]\neab_handler_module: acme2certifier.eabhandlers.json_handler\nkey_file: {dir}/eab.json\n\
             [Directory]\ntos_url: https://localhost/terms\n";
        let directory = scratch.path().to_str().expect("a scratch directory has a plain name");
        let config = scratch.write("acme_srv.cfg", config.replace("{dir}", directory));
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/other.py");
        let mut command = Command::new(server("acme2certifier", "0.46", "python"));
        command.arg(script).arg(directory).args([port.number().to_string(), http01.port().to_string()]);
        command.env("ACME_SRV_CONFIGFILE", config).env("ACME2CERTIFIER_BASE_DIR", directory);
        let mut process = Process::spawn("acme2certifier", &mut command, &scratch.join("acme2certifier.log"));
        process
            .wait_ready(SERVER_DEADLINE, || http::listens(port.addr()).then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
        Self { process, port, scratch }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://{}/directory", self.port.addr())
    }

    /// The file with the root of its own HTTPS end point, and of what it issues.
    pub fn root_ca(&self) -> PathBuf {
        self.scratch.join("root.pem")
    }

    /// The serial numbers on its revocation list.
    pub fn revoked(&self) -> Vec<String> {
        let Ok(list) = fs::read(self.scratch.join("crl.pem")) else { return Vec::new() };
        let (_, block) = x509_parser::pem::parse_x509_pem(&list).expect("a list is PEM");
        let (_, list) = CertificateRevocationList::from_der(&block.contents).expect("it is a list");
        list.iter_revoked_certificates().map(|revoked| hex(revoked.raw_serial())).collect()
    }
}
