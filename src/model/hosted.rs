//! Hosted DNS providers, and what each asks for.

/// The providers by name, with the keys of their `credentials`: a name that ends in `_file` is the path of a file with the secret,
/// and one with a question mark can be left out.
///
/// Left out are services that hold a single value, or whose interface cannot add one beside others: `ddnss`, `duckdns`, `freemyip`
/// and `hurricane`.
pub const HOSTED: [(&str, &str); 68] = [
    ("alidns", "access_key_id access_key_secret_file region? security_token_file? line?"),
    ("arvancloud", "api_key_file"),
    ("autodns", "username password_file context?"),
    ("azuredns", "tenant_id client_id client_secret_file subscription_id resource_group environment?"),
    ("baiducloud", "access_key_id secret_access_key_file"),
    ("bluecatv2", "server_url username password_file config_name view_name"),
    ("bunny", "api_key_file"),
    ("cloudflare", "api_token_file"),
    ("cloudns", "auth_id? sub_auth_id? auth_password_file"),
    ("constellix", "api_key_file secret_key_file"),
    ("cpanel", "base_url username token_file"),
    ("desec", "token_file"),
    ("digitalocean", "auth_token_file"),
    ("dnsimple", "oauth_token_file account_id"),
    ("dnsmadeeasy", "api_key_file api_secret_file"),
    ("domeneshop", "api_token_file api_secret_file"),
    ("dreamhost", "api_key_file"),
    ("dynu", "api_key_file"),
    ("easydns", "token_file key_file"),
    ("edgedns", "host client_token_file client_secret_file access_token_file account_switch_key?"),
    ("exoscale", "api_key_file api_secret_file"),
    ("gandiv5", "personal_access_token_file"),
    ("gcloud", "service_account_file project managed_zone? impersonate_service_account?"),
    ("gcore", "api_token_file"),
    ("glesys", "api_user api_key_file"),
    ("godaddy", "api_key_file api_secret_file"),
    ("hetzner", "api_token_file"),
    ("hostingde", "api_key_file"),
    ("hostinger", "api_token_file"),
    ("huaweicloud", "access_key_id secret_access_key_file region"),
    ("ibmcloud", "username api_key_file"),
    ("infoblox", "host port? username password_file wapi_version? dns_view?"),
    ("infomaniak", "access_token_file"),
    ("inwx", "username password_file"),
    ("ionos", "api_key_file"),
    ("ipv64", "api_key_file"),
    ("joker", "api_key_file? username? password_file?"),
    ("lightsail", "access_key_id secret_access_key_file session_token_file? region? domain?"),
    ("linode", "token_file"),
    ("luadns", "api_username api_token_file"),
    ("mythicbeasts", "username password_file"),
    ("namecheap", "api_user api_key_file client_ip username?"),
    ("namedotcom", "username api_token_file"),
    ("namesilo", "api_key_file"),
    ("netcup", "customer_number api_key_file api_password_file"),
    ("netlify", "access_token_file"),
    ("nifcloud", "access_key_id secret_access_key_file"),
    ("ns1", "api_key_file"),
    (
        "oraclecloud",
        "tenancy_ocid user_ocid fingerprint private_key_file private_key_password_file? region compartment_ocid",
    ),
    ("ovh", "application_key_file application_secret_file consumer_key_file endpoint"),
    ("pdns", "api_key_file endpoint? server_name?"),
    ("plesk", "base_url api_key_file"),
    ("porkbun", "api_key_file secret_api_key_file"),
    ("route53", "access_key_id secret_access_key_file session_token_file? region? hosted_zone_id?"),
    ("safedns", "auth_token_file"),
    ("scaleway", "api_token_file"),
    ("selectel", "username password_file account_id project_id"),
    ("simplycom", "account_name api_key_file"),
    ("spaceship", "api_key_file api_secret_file"),
    ("tencentcloud", "secret_id secret_key_file region? session_token_file?"),
    ("transip", "login private_key_file"),
    ("ultradns", "username password_file endpoint?"),
    ("vercel", "auth_token_file team_id?"),
    ("volcengine", "access_key_id secret_access_key_file region?"),
    ("vultr", "api_key_file"),
    ("websupport", "api_key_file secret_file"),
    ("yandexcloud", "iam_token_file folder_id"),
    ("zoneeu", "username api_key_file"),
];

/// One thing that a provider asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// Its key.
    pub key: &'static str,
    /// Whether the provider cannot do without.
    pub is_required: bool,
}

impl Credential {
    /// What a provider asks for; `None` where it is not known.
    #[must_use]
    pub fn of(service: &str) -> Option<Vec<Self>> {
        let (_, keys) = HOSTED.iter().find(|(name, _)| *name == service)?;
        let credential = |word: &'static str| match word.strip_suffix('?') {
            Some(key) => Self { key, is_required: false },
            None => Self { key: word, is_required: true },
        };
        Some(keys.split(' ').map(credential).collect())
    }

    /// Whether the key stands for the path of a file with a secret.
    #[must_use]
    pub fn is_secret(key: &str) -> bool {
        key.ends_with("_file")
    }
}
