//! Flags: they make a file unnecessary, and win over one.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::parse::check_mail;
use super::{Certificate, Config, Eab, Error, Issuer, Method, Node, Order, PushPace, Setting, Solver, Via, kinds};
use crate::model::{Address, Authority, CertName, ChallengeKind, DirectoryUrl, Identifier, KeyType};

/// Flags that stand for nodes and the store.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// Stats sockets; they replace the nodes of the file.
    pub sockets: Vec<Address>,
    /// Where files for the next start are published.
    pub crt_dir: Option<PathBuf>,
    /// Where to shake hands.
    pub verify: Vec<Authority>,
    /// Where accounts, keys and generations are.
    pub state_dir: Option<PathBuf>,
}

/// Flags that stand for an issuer, a solver and a certificate.
#[derive(Debug, Clone, Default)]
pub struct OrderFlags {
    /// The authority.
    pub directory: Option<DirectoryUrl>,
    /// A PEM file with roots for its HTTPS.
    pub root_ca: Option<PathBuf>,
    /// Mail addresses for the account.
    pub contact: Vec<String>,
    /// Whether the operator agrees to its terms of service.
    pub agree_terms: bool,
    /// How it knows us otherwise.
    pub eab: Option<Eab>,
    /// Answer by a listener there.
    pub http_01_listen: Option<SocketAddr>,
    /// Answer by this map of `HAProxy`.
    pub http_01_map: Option<String>,
    /// Answer by `HAProxy` from the thumbprint.
    pub http_01_stateless: bool,
    /// Answer by a web server with this document root.
    pub webroot: Option<PathBuf>,
    /// Answer tls-alpn-01 there.
    pub tls_alpn_01_listen: Option<SocketAddr>,
    /// Where the pre-flight asks.
    pub http_01_probe: Option<Authority>,
    /// The key types: none for what is configured, one, or one of each kind.
    pub key: Vec<KeyType>,
    /// The certificate profile.
    pub profile: Option<String>,
    /// The name of the certificate.
    pub cert_name: Option<CertName>,
}

impl Flags {
    /// Lays the flags over what the file says.
    pub(super) fn lay_over(&self, config: &mut Config) {
        let mut set = |key: &str, value: String, flag: &str| {
            config.settings.retain(|setting| setting.key != key);
            config.settings.push(Setting { key: key.to_owned(), value, origin: flag.to_owned() });
        };
        if let Some(state_dir) = &self.state_dir {
            set("state_dir", state_dir.display().to_string(), "--state-dir");
            config.state_dir = absolute(state_dir);
        }
        if !self.sockets.is_empty() {
            config.settings.retain(|setting| !setting.key.starts_with("haproxy."));
            config.nodes = self
                .sockets
                .iter()
                .enumerate()
                .map(|(index, socket)| {
                    let name = match self.sockets.len() {
                        1 => "haproxy".to_owned(),
                        _ => format!("haproxy-{}", index + 1),
                    };
                    let name: crate::model::NodeName =
                        name.parse().expect("letters, a dash and digits are a node name");
                    config.settings.push(Setting {
                        key: format!("haproxy.{name}.socket"),
                        value: socket.to_string(),
                        origin: "--socket".to_owned(),
                    });
                    (name.clone(), Node::new(name, absolute_address(socket)))
                })
                .collect();
            for certificate in config.certificates.values_mut() {
                certificate.nodes.clear();
            }
        }
        for node in config.nodes.values_mut() {
            let mut set = |key: &str, value: String, flag: &str| {
                let key = format!("haproxy.{}.{key}", node.name);
                config.settings.retain(|setting| setting.key != key);
                config.settings.push(Setting { key, value, origin: flag.to_owned() });
            };
            if let Some(crt_dir) = &self.crt_dir {
                set("crt_dir", crt_dir.display().to_string(), "--crt-dir");
                node.crt_dir = Some(absolute(crt_dir));
            }
            if !self.verify.is_empty() {
                let addresses: Vec<_> = self.verify.iter().map(ToString::to_string).collect();
                set("verify", format!("[{}]", addresses.join(", ")), "--verify");
                node.verify.clone_from(&self.verify);
            }
        }
    }
}

/// The same socket from any directory.
#[must_use]
pub fn absolute_address(socket: &Address) -> Address {
    match socket {
        Address::Unix(path) => Address::Unix(absolute(path)),
        Address::Master(socket) => Address::Master(Box::new(absolute_address(socket))),
        other => other.clone(),
    }
}

/// What is remembered must mean the same in another directory.
fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Node {
    /// A node of which only the socket is known.
    #[must_use]
    pub fn new(name: crate::model::NodeName, socket: Address) -> Self {
        Self {
            name,
            socket,
            master: None,
            tls: None,
            crt_dir: None,
            haproxy_crt_dir: None,
            crt_list: None,
            verify: Vec::new(),
            owner: None,
            group: None,
            mode: None,
            push_pace: PushPace::default(),
            ca_files: Vec::new(),
            crl_files: Vec::new(),
        }
    }
}

impl Config {
    /// The certificate that `issue` orders: the configured one with these names, with the flags laid over it, or one made of the
    /// flags alone. To name some of the names of a certificate in the file is to name it. One of two kinds comes in one piece, unless
    /// a flag names one of them.
    pub fn certificate_to_issue(&self, domains: &[Identifier], flags: &OrderFlags) -> Result<Certificate, Error> {
        let missing = |what: &str, hint: &str| Error::Missing { what: what.to_owned(), hint: hint.to_owned() };
        let first = domains.first().ok_or_else(|| missing("no name was given", "hotcert issue example.org"))?;
        let name = match &flags.cert_name {
            Some(name) => name.clone(),
            None => CertName::of(first).map_err(|invalid| {
                missing(
                    &format!("the certificate cannot be named after {}: {invalid}", first.human()),
                    "name it by --cert-name",
                )
            })?,
        };
        flags.check_contacts()?;
        if !flags.key.is_empty() {
            kinds::check(&flags.key)
                .map_err(|what| missing(&format!("--key: {what}"), "--key ecdsa-p256 --key rsa-2048"))?;
        }
        let known = self.known(&name, &flags.key)?;
        let base = known.as_ref().and_then(|certificate| certificate.order.clone());
        let base = match base {
            Some(order) => order,
            None => Order {
                issuers: vec![match self.issuers.len() {
                    0 => Issuer::letsencrypt(),
                    1 => self.issuers.values().next().expect("there is one").clone(),
                    _ if flags.directory.is_some() => Issuer::letsencrypt(),
                    _ => return Err(missing("several issuers are configured", "say which by --directory")),
                }],
                solvers: self.solvers_or_listener(),
                keys: vec![KeyType::default()],
            },
        };
        let order = flags.lay_over(base);
        Ok(match known {
            Some(certificate) => {
                let is_in_file = self.named(&certificate.name).iter().any(|name| !self.remembered.contains(name));
                let domains = if is_in_file && domains.iter().all(|domain| certificate.domains.contains(domain)) {
                    certificate.domains.clone()
                } else {
                    domains.to_vec()
                };
                Certificate { domains, order: Some(order), ..certificate }
            }
            None => Certificate { domains: domains.to_vec(), order: Some(order), ..Certificate::new(name) },
        })
    }

    /// The certificate that another program has ordered from an authority with such a key, as it is ordered from now on: what is known
    /// of it, or the defaults, with the flags laid over.
    #[must_use]
    pub fn certificate_to_adopt(
        &self,
        name: &CertName,
        domains: Vec<Identifier>,
        issuer: &Issuer,
        key: Option<KeyType>,
        flags: &OrderFlags,
    ) -> Certificate {
        let known = self.certificates.get(name).cloned().unwrap_or_else(|| Certificate::new(name.clone()));
        let base = known.order.clone().unwrap_or_else(|| Order {
            issuers: vec![issuer.clone()],
            solvers: self.solvers_or_listener(),
            keys: vec![key.unwrap_or_default()],
        });
        Certificate { domains, order: Some(flags.lay_over(base)), ..known }
    }

    fn solvers_or_listener(&self) -> Vec<Solver> {
        match self.default_solvers() {
            solvers if solvers.is_empty() => vec![Solver::default_listener()],
            solvers => solvers,
        }
    }
}

impl OrderFlags {
    /// The authority and the solver that the flags stand for where nothing is configured.
    pub fn ordering(&self) -> Result<(Issuer, Solver), Error> {
        self.check_contacts()?;
        let mut order = self.lay_over(Order {
            issuers: vec![Issuer::letsencrypt()],
            solvers: vec![Solver::default_listener()],
            keys: Vec::new(),
        });
        Ok((order.issuers.swap_remove(0), order.solvers.swap_remove(0)))
    }

    /// The contacts must be mail addresses.
    pub(super) fn check_contacts(&self) -> Result<(), Error> {
        let wrong = |what| Error::Missing { what, hint: "--contact admin@example.org".to_owned() };
        self.contact.iter().try_for_each(|mail| check_mail(mail)).map_err(wrong)
    }

    /// Whether any of them says something about how to order.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.directory.is_some()
            || self.http_01_listen.is_some()
            || self.http_01_map.is_some()
            || self.http_01_stateless
            || self.webroot.is_some()
            || self.tls_alpn_01_listen.is_some()
    }

    /// Lays those that are about the authority over what is known of it.
    pub(super) fn lay_over_issuer(&self, issuer: &mut Issuer) {
        if let Some(root_ca) = &self.root_ca {
            issuer.root_ca = Some(absolute(root_ca));
        }
        if !self.contact.is_empty() {
            issuer.contact.clone_from(&self.contact);
        }
        if let Some(profile) = &self.profile {
            issuer.profile = Some(profile.clone());
        }
        if let Some(eab) = &self.eab {
            issuer.eab = Some(eab.clone());
        }
        issuer.terms_agreed |= self.agree_terms;
    }

    fn lay_over(&self, mut order: Order) -> Order {
        if let Some(directory) = &self.directory {
            let same = order.issuers.iter().find(|issuer| issuer.directory.as_ref() == Some(directory)).cloned();
            order.issuers = vec![same.unwrap_or_else(|| Issuer::at(directory))];
        }
        for issuer in &mut order.issuers {
            self.lay_over_issuer(issuer);
        }
        let method = [
            self.http_01_listen.map(|listen| Method::Http01(Via::Listener { listen })),
            self.http_01_map.clone().map(|map| Method::Http01(Via::HaproxyMap { map })),
            self.http_01_stateless.then_some(Method::Http01(Via::Stateless)),
            self.webroot.clone().map(|path| Method::Http01(Via::Webroot { path: absolute(&path) })),
            self.tls_alpn_01_listen.map(|listen| Method::TlsAlpn01 { listen }),
        ]
        .into_iter()
        .flatten()
        .next();
        if let Some(method) = method {
            let wanted = Solver { method, ..Solver::default_listener() };
            // Where it is configured, its other settings hold; among others, it is the first choice.
            let known = order.solvers.iter().position(|solver| solver.kind() == wanted.kind());
            let base = known.map(|at| order.solvers.remove(at));
            order.solvers.insert(0, base.map_or(wanted.clone(), |base| Solver { method: wanted.method, ..base }));
        }
        if let Some(probe) = &self.http_01_probe {
            for solver in order.solvers.iter_mut().filter(|solver| solver.kind() == ChallengeKind::Http01) {
                solver.probe = Some(probe.clone());
            }
        }
        if !self.key.is_empty() {
            order.keys.clone_from(&self.key);
        }
        order
    }
}
